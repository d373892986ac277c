-- What sync has to do at the providers, and how it went last. One row for each connector whose provider has one registration for all
-- of it, and for each account whose provider has one of its own; `subject_id` is the one or the other. It is queue and state in one:
-- requests that come together are counted in `asked`, and a sync answers all that were counted when it began (`taken`).
CREATE TABLE sync_job (
    subject_id UUID NOT NULL,
    connector_id UUID NOT NULL,
    account_id UUID,
    state TEXT NOT NULL,
    asked BIGINT NOT NULL,
    taken BIGINT NOT NULL DEFAULT 0,
    causes TEXT[] NOT NULL DEFAULT '{}',
    taken_causes TEXT[] NOT NULL DEFAULT '{}',
    asked_since timestamptz NOT NULL,
    due_at timestamptz,
    lease UUID,
    lease_until timestamptz,
    started_at timestamptz,
    attempt INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,
    cause TEXT,
    action TEXT,
    missing TEXT[] NOT NULL DEFAULT '{}',
    by_hand TEXT[] NOT NULL DEFAULT '{}',
    registered_url TEXT,
    registered_secret TEXT,
    finished_at timestamptz,
    succeeded_at timestamptz,
    CONSTRAINT pk_sync_job PRIMARY KEY (subject_id),
    CONSTRAINT fk_sync_job_connector_id_channel_connector
        FOREIGN KEY (connector_id) REFERENCES channel_connector (id) ON DELETE CASCADE,
    CONSTRAINT fk_sync_job_account_id_channel_account FOREIGN KEY (account_id) REFERENCES channel_account (id) ON DELETE CASCADE,
    CONSTRAINT ck_sync_job_state CHECK (state IN ('idle', 'waiting', 'running', 'stopped')),
    CONSTRAINT ck_sync_job_subject CHECK (subject_id = coalesce(account_id, connector_id)),
    CONSTRAINT ck_sync_job_due CHECK ((state = 'waiting') = (due_at IS NOT NULL)),
    CONSTRAINT ck_sync_job_lease CHECK ((state = 'running') = (lease IS NOT NULL AND lease_until IS NOT NULL))
) WITH (fillfactor = 70);

CREATE INDEX ix_sync_job_due_at ON sync_job (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ix_sync_job_lease_until ON sync_job (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX ix_sync_job_state ON sync_job (state) WHERE state <> 'idle';
CREATE INDEX ix_sync_job_connector_id_subject_id ON sync_job (connector_id, subject_id);
CREATE INDEX ix_sync_job_account_id ON sync_job (account_id);

-- A receiving secret that takes the place of the others of its use. These end `overlap_seconds` after every registration has the new one.
CREATE TABLE secret_rotation (
    connector_id UUID NOT NULL,
    use TEXT NOT NULL,
    secret_id TEXT NOT NULL,
    overlap_seconds INTEGER NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_secret_rotation PRIMARY KEY (connector_id, use),
    CONSTRAINT fk_secret_rotation_connector_id_channel_connector
        FOREIGN KEY (connector_id) REFERENCES channel_connector (id) ON DELETE CASCADE,
    CONSTRAINT ck_secret_rotation_use CHECK (use IN ('sign', 'handshake')),
    CONSTRAINT ck_secret_rotation_overlap CHECK (overlap_seconds >= 0)
);

ALTER TABLE sync_job ENABLE ROW LEVEL SECURITY;
ALTER TABLE sync_job FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON sync_job TO channels_api
    USING (EXISTS (SELECT 1 FROM channel_connector c WHERE c.id = sync_job.connector_id AND c.tenant_id = channels_tenant()))
    WITH CHECK (EXISTS (SELECT 1 FROM channel_connector c WHERE c.id = sync_job.connector_id AND c.tenant_id = channels_tenant())
        AND (sync_job.account_id IS NULL OR EXISTS (SELECT 1 FROM channel_account a
             WHERE a.id = sync_job.account_id AND a.connector_id = sync_job.connector_id)));
CREATE POLICY all_tenants ON sync_job TO channels_owner, channels_worker, channels_credential USING (true) WITH CHECK (true);
ALTER TABLE secret_rotation ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret_rotation FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON secret_rotation TO channels_api
    USING (EXISTS (SELECT 1 FROM channel_connector c WHERE c.id = secret_rotation.connector_id AND c.tenant_id = channels_tenant()));
CREATE POLICY all_tenants ON secret_rotation TO channels_owner, channels_worker, channels_credential USING (true) WITH CHECK (true);

-- Of the outbox the worker adds, beside checks, what health sees at a provider. `requests`: connector_id, account_id, tenant_id, cause, at_ms.
CREATE FUNCTION tell_sync_required(requests jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO outbox (topic, subject_id, tenant_id, detail)
    SELECT 'channel.account.sync_required', coalesce(g.account_id, g.connector_id), g.tenant_id, jsonb_build_object(
        'tenant_id', g.tenant_id, 'connector_id', g.connector_id, 'account_id', g.account_id, 'cause', g.cause, 'detail', '',
        'requested_at_ms', g.at_ms)
    FROM jsonb_to_recordset(requests) AS g (connector_id uuid, account_id uuid, tenant_id uuid, cause text, at_ms bigint)
    JOIN channel_connector c ON c.id = g.connector_id AND c.tenant_id = g.tenant_id
$$;
REVOKE EXECUTE ON FUNCTION tell_sync_required(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tell_sync_required(jsonb) TO channels_worker;

-- The use cases ask and write results, the workers take what is due, and those that see tokens wake what waited for one.
GRANT SELECT, INSERT, UPDATE ON sync_job TO channels_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON secret_rotation TO channels_api;
GRANT SELECT, UPDATE (state, due_at, lease, lease_until, started_at, attempt, taken, causes, taken_causes, registered_secret)
    ON sync_job TO channels_worker;
GRANT SELECT ON secret_rotation TO channels_worker;
GRANT SELECT, UPDATE (state, due_at, attempt) ON sync_job TO channels_credential;

ALTER TABLE outbox DROP CONSTRAINT ck_outbox_topic;
ALTER TABLE outbox ADD CONSTRAINT ck_outbox_topic CHECK (topic IN (
    'channel.connector.snapshot', 'channel.account.snapshot', 'channel.connector.status_changed', 'channel.token.expiring',
    'channel.health.checked', 'channel.route.status_changed', 'channel.account.sync_required'));
