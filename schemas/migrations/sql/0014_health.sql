-- What is known of each connector and account from its checks, and when it is checked next (design section 6, Health).
-- `subject_id` is the account's id, or the connector's for what is asked of it as a whole. Streaks stand beside the breaker, so that a
-- check reads one row, not its last n. All of it changes in the transaction that inserts the check.
CREATE TABLE health_state (
    subject_id UUID NOT NULL,
    connector_id UUID NOT NULL,
    account_id UUID,
    due_at timestamptz NOT NULL,
    lease_until timestamptz,
    grade health_status,
    cause TEXT,
    breaker TEXT NOT NULL DEFAULT 'closed',
    failures INTEGER NOT NULL DEFAULT 0,
    passes INTEGER NOT NULL DEFAULT 0,
    unknowns INTEGER NOT NULL DEFAULT 0,
    opened_at timestamptz,
    closed_at timestamptz,
    open_seconds INTEGER NOT NULL DEFAULT 0,
    owns BOOLEAN NOT NULL DEFAULT false,
    CONSTRAINT pk_health_state PRIMARY KEY (subject_id),
    CONSTRAINT fk_health_state_connector_id_channel_connector
        FOREIGN KEY (connector_id) REFERENCES channel_connector (id) ON DELETE CASCADE,
    CONSTRAINT fk_health_state_account_id_channel_account FOREIGN KEY (account_id) REFERENCES channel_account (id) ON DELETE CASCADE,
    CONSTRAINT ck_health_state_breaker CHECK (breaker IN ('closed', 'open', 'half_open')),
    CONSTRAINT ck_health_state_subject CHECK (subject_id = coalesce(account_id, connector_id))
) WITH (fillfactor = 70);

CREATE INDEX ix_health_state_due_at ON health_state (due_at);
CREATE INDEX ix_health_state_connector_id ON health_state (connector_id);
CREATE INDEX ix_health_state_account_id ON health_state (account_id);

-- How many items came in per account and day, by hour (UTC): what is usual for an account, and whether it is silent.
CREATE TABLE account_activity (
    account_id UUID NOT NULL,
    day DATE NOT NULL,
    hours BIGINT[] NOT NULL,
    CONSTRAINT pk_account_activity PRIMARY KEY (account_id, day),
    CONSTRAINT fk_account_activity_account_id_channel_account
        FOREIGN KEY (account_id) REFERENCES channel_account (id) ON DELETE CASCADE,
    CONSTRAINT ck_account_activity_hours CHECK (array_length(hours, 1) = 24)
);

ALTER TABLE health_state ENABLE ROW LEVEL SECURITY;
ALTER TABLE health_state FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON health_state TO channels_api
    USING (EXISTS (SELECT 1 FROM channel_connector c WHERE c.id = health_state.connector_id AND c.tenant_id = channels_tenant()));
CREATE POLICY all_tenants ON health_state TO channels_owner, channels_worker, channels_credential USING (true) WITH CHECK (true);
ALTER TABLE account_activity ENABLE ROW LEVEL SECURITY;
ALTER TABLE account_activity FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON account_activity TO channels_api
    USING (EXISTS (SELECT 1 FROM channel_account a JOIN channel_connector c ON c.id = a.connector_id
                   WHERE a.id = account_activity.account_id AND c.tenant_id = channels_tenant()));
CREATE POLICY all_tenants ON account_activity TO channels_owner, channels_worker, channels_credential USING (true) WITH CHECK (true);

-- Of all tenants, for a role that sees one: how many connectors fail now whose breakers are not open, of how many that are checked.
-- A connector fails if half of what is checked of it does: one bad account of many is no outage.
CREATE FUNCTION health_failing(OUT failing bigint, OUT connectors bigint) LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*) FILTER (WHERE f.share >= 0.5), count(*)
    FROM (
        SELECT avg(CASE WHEN s.breaker = 'closed' AND (s.failures > 0 OR s.unknowns > 0) THEN 1 ELSE 0 END) AS share
        FROM health_state s WHERE s.grade IS NOT NULL OR s.unknowns > 0 GROUP BY s.connector_id
    ) f
$$;
REVOKE EXECUTE ON FUNCTION health_failing() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION health_failing() TO channels_api, channels_worker;

-- Of the outbox the worker adds checks alone: all other notices are those of use cases. `checks`: connector_id, tenant_id, event of each.
CREATE FUNCTION tell_health_checks(checks jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO outbox (topic, subject_id, tenant_id, detail)
    SELECT 'channel.health.checked', g.connector_id, g.tenant_id, g.event
    FROM jsonb_to_recordset(checks) AS g (connector_id uuid, tenant_id uuid, event jsonb)
    JOIN channel_connector c ON c.id = g.connector_id AND c.tenant_id = g.tenant_id
$$;
REVOKE EXECUTE ON FUNCTION tell_health_checks(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tell_health_checks(jsonb) TO channels_worker;

GRANT SELECT, INSERT, UPDATE, DELETE ON health_state, account_activity TO channels_worker;
GRANT SELECT, UPDATE ON health_state TO channels_api;
GRANT SELECT ON account_activity TO channels_api;
GRANT SELECT, INSERT, DELETE ON channel_health_check TO channels_worker;
GRANT SELECT, INSERT, UPDATE ON consumer_offset TO channels_worker;
GRANT UPDATE (ultimo_heartbeat) ON channel_connector TO channels_worker;
GRANT UPDATE (ultimo_evento_em) ON channel_webhook TO channels_worker;
GRANT INSERT (fallback), UPDATE (fallback) ON account_state TO channels_api;

ALTER TABLE outbox DROP CONSTRAINT ck_outbox_topic;
ALTER TABLE outbox ADD CONSTRAINT ck_outbox_topic CHECK (topic IN (
    'channel.connector.snapshot', 'channel.account.snapshot', 'channel.connector.status_changed', 'channel.token.expiring',
    'channel.health.checked', 'channel.route.status_changed'));
