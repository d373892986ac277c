-- When which token is renewed, tested, or taken away, and when people are told that it ends (design section 6, Tokens).
-- One row for each token, made by the rotator; all times are the rotator's clock, which follows the database's.
-- `calling` is the committed intent: whoever finds it with a lease that is over does not know what became of the call.
CREATE TABLE token_renewal (
    token_id UUID NOT NULL,
    task TEXT NOT NULL,
    service TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'planned',
    planned_for timestamptz,
    due_at timestamptz,
    ends_at timestamptz,
    lease_until timestamptz,
    intent UUID,
    attempt INTEGER NOT NULL DEFAULT 0,
    unknown_calls INTEGER NOT NULL DEFAULT 0,
    cause TEXT,
    action TEXT,
    notice_at timestamptz,
    notice_seconds INTEGER,
    noticed_seconds INTEGER,
    changed_at timestamptz NOT NULL,
    CONSTRAINT pk_token_renewal PRIMARY KEY (token_id),
    CONSTRAINT fk_token_renewal_token_id_channel_token FOREIGN KEY (token_id) REFERENCES channel_token (id) ON DELETE CASCADE,
    CONSTRAINT ck_token_renewal_task CHECK (task IN ('renew', 'retire', 'test', 'watch', 'none')),
    CONSTRAINT ck_token_renewal_state CHECK (state IN ('planned', 'calling', 'stopped')),
    CONSTRAINT ck_token_renewal_lease CHECK (state <> 'calling' OR lease_until IS NOT NULL AND intent IS NOT NULL),
    CONSTRAINT ck_token_renewal_due CHECK ((task IN ('watch', 'none') OR state = 'stopped') = (due_at IS NULL))
) WITH (fillfactor = 70);

CREATE INDEX ix_token_renewal_due_at ON token_renewal (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ix_token_renewal_notice_at ON token_renewal (notice_at) WHERE notice_at IS NOT NULL;

-- How many calls a service has had in its present window.
CREATE TABLE provider_budget (
    service TEXT NOT NULL,
    window_at timestamptz NOT NULL,
    used INTEGER NOT NULL,
    CONSTRAINT pk_provider_budget PRIMARY KEY (service)
);

ALTER TABLE token_renewal ENABLE ROW LEVEL SECURITY;
ALTER TABLE token_renewal FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON token_renewal TO channels_api
    USING (EXISTS (SELECT 1 FROM channel_token t JOIN channel_connector c ON c.id = t.connector_id
                   WHERE t.id = token_renewal.token_id AND c.tenant_id = channels_tenant()));
CREATE POLICY all_tenants ON token_renewal TO channels_owner, channels_worker, channels_credential USING (true) WITH CHECK (true);

-- The lock that every use case takes first, for a role that changes no connector.
CREATE FUNCTION lock_connectors(wanted uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM channel_connector c WHERE c.id = ANY (wanted) ORDER BY c.id FOR NO KEY UPDATE;
END $$;
REVOKE EXECUTE ON FUNCTION lock_connectors(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_connectors(uuid[]) TO channels_credential;

-- Those that open tokens keep the schedule, and store what a renewal brought. The use cases see it, and may make a row due.
GRANT SELECT, INSERT, UPDATE, DELETE ON token_renewal TO channels_credential;
GRANT SELECT, INSERT, UPDATE ON provider_budget TO channels_credential;
GRANT INSERT, DELETE ON channel_token TO channels_credential;
GRANT INSERT ON outbox TO channels_credential;
GRANT SELECT ON token_renewal TO channels_api;
GRANT UPDATE (state, due_at, lease_until, intent, attempt, unknown_calls, cause, action, changed_at) ON token_renewal TO channels_api;

ALTER TABLE outbox DROP CONSTRAINT ck_outbox_topic;
ALTER TABLE outbox ADD CONSTRAINT ck_outbox_topic CHECK (topic IN (
    'channel.connector.snapshot', 'channel.account.snapshot', 'channel.connector.status_changed', 'channel.token.expiring'));
