-- Each creation sweeps its tenant's old keys. Until the statistics of a growing table were told, PostgreSQL looked for them among all keys of the tenant.
CREATE INDEX ix_idempotency_key_tenant_id_created_at ON idempotency_key (tenant_id, created_at);
DROP INDEX ix_idempotency_key_created_at;
