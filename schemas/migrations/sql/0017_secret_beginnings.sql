-- When a registration that is in order has to be looked at again by itself: a receiving secret begins to hold then. Not `due_at`: nothing waits.
ALTER TABLE sync_job ADD COLUMN recheck_at timestamptz;
CREATE INDEX ix_sync_job_recheck_at ON sync_job (recheck_at) WHERE recheck_at IS NOT NULL;
