-- What people set by hand and `sync` must leave alone, and what the provider said last of each account (design section 5).
-- One row per thing: `field` is `nome_exibicao` of an account, or `capability:<feature>` of a connector with the `members` that were
-- set: `enabled`, `constraints.<name>`.
CREATE TABLE channel_override (
    subject_id UUID NOT NULL,
    field TEXT NOT NULL,
    connector_id UUID NOT NULL,
    account_id UUID,
    members JSONB NOT NULL DEFAULT '[]',
    actor TEXT NOT NULL,
    since timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_channel_override PRIMARY KEY (subject_id, field),
    CONSTRAINT fk_channel_override_connector_id_channel_connector
        FOREIGN KEY (connector_id) REFERENCES channel_connector (id) ON DELETE CASCADE,
    CONSTRAINT fk_channel_override_account_id_channel_account
        FOREIGN KEY (account_id) REFERENCES channel_account (id) ON DELETE CASCADE,
    CONSTRAINT ck_channel_override_subject CHECK (subject_id = coalesce(account_id, connector_id)),
    CONSTRAINT ck_channel_override_field
        CHECK (CASE WHEN account_id IS NULL THEN starts_with(field, 'capability:') ELSE field = 'nome_exibicao' END)
);

CREATE INDEX ix_channel_override_connector_id ON channel_override (connector_id);
CREATE INDEX ix_channel_override_account_id ON channel_override (account_id);

-- `features`: what followed for the connector's capabilities, by feature. `changed_at` moves with what is said, not with each look.
CREATE TABLE account_description (
    account_id UUID NOT NULL,
    display_name TEXT,
    verified_name TEXT,
    tier TEXT,
    throughput TEXT,
    quality TEXT,
    app_id TEXT,
    features JSONB NOT NULL DEFAULT '{}',
    changed_at timestamptz NOT NULL,
    CONSTRAINT pk_account_description PRIMARY KEY (account_id),
    CONSTRAINT fk_account_description_account_id_channel_account
        FOREIGN KEY (account_id) REFERENCES channel_account (id) ON DELETE CASCADE
);

-- Single calls that a connector waits for: a certificate to fetch, a subscription to confirm. `detail` says which: an address on the list
-- of those that are fetched, or where the raw record lies; never what stands in it. Gone once it is done, or has proven impossible.
CREATE TABLE sync_errand (
    connector_id UUID NOT NULL,
    cause TEXT NOT NULL,
    detail TEXT NOT NULL,
    asked_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_sync_errand PRIMARY KEY (connector_id, cause, detail),
    CONSTRAINT fk_sync_errand_connector_id_channel_connector
        FOREIGN KEY (connector_id) REFERENCES channel_connector (id) ON DELETE CASCADE,
    CONSTRAINT ck_sync_errand_sizes CHECK (length(cause) <= 64 AND length(detail) <= 512)
);

ALTER TABLE sync_errand ENABLE ROW LEVEL SECURITY;
ALTER TABLE sync_errand FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON sync_errand TO channels_api
    USING (EXISTS (SELECT 1 FROM channel_connector c WHERE c.id = sync_errand.connector_id AND c.tenant_id = channels_tenant()));
CREATE POLICY all_tenants ON sync_errand TO channels_owner, channels_worker, channels_credential USING (true) WITH CHECK (true);
ALTER TABLE channel_override ENABLE ROW LEVEL SECURITY;
ALTER TABLE channel_override FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON channel_override TO channels_api
    USING (EXISTS (SELECT 1 FROM channel_connector c
                   WHERE c.id = channel_override.connector_id AND c.tenant_id = channels_tenant()))
    WITH CHECK (EXISTS (SELECT 1 FROM channel_connector c
                        WHERE c.id = channel_override.connector_id AND c.tenant_id = channels_tenant())
                AND (channel_override.account_id IS NULL
                     OR EXISTS (SELECT 1 FROM channel_account a
                                WHERE a.id = channel_override.account_id AND a.connector_id = channel_override.connector_id)));
CREATE POLICY all_tenants ON channel_override TO channels_owner, channels_worker, channels_credential USING (true) WITH CHECK (true);
ALTER TABLE account_description ENABLE ROW LEVEL SECURITY;
ALTER TABLE account_description FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON account_description TO channels_api
    USING (EXISTS (SELECT 1 FROM channel_account a JOIN channel_connector c ON c.id = a.connector_id
                   WHERE a.id = account_description.account_id AND c.tenant_id = channels_tenant()));
CREATE POLICY all_tenants ON account_description TO channels_owner, channels_worker, channels_credential
    USING (true) WITH CHECK (true);

-- The use cases alone write and read them: people's changes and sync's come from there.
GRANT SELECT, INSERT, UPDATE, DELETE ON channel_override, account_description TO channels_api;
GRANT SELECT, INSERT, DELETE ON sync_errand TO channels_api;

-- Until now only people wrote: every name is theirs, and of capabilities what the audit log knows to have been set.
INSERT INTO channel_override (subject_id, field, connector_id, account_id, actor)
SELECT a.id, 'nome_exibicao', a.connector_id, a.id, 'migration:0016'
FROM channel_account a WHERE a.nome_exibicao ~ '\S';

INSERT INTO channel_override (subject_id, field, connector_id, members, actor)
SELECT s.connector_id, 'capability:' || s.feature, s.connector_id, jsonb_agg(DISTINCT s.member), 'migration:0016'
FROM (
    SELECT c.connector_id, c.feature, 'enabled' AS member
    FROM audit_log l JOIN channel_capability c ON c.id = l.subject_id
    WHERE l.action = 'capability.set' AND l.after ? 'enabled'
    UNION
    SELECT c.connector_id, c.feature, 'constraints.' || k.name
    FROM audit_log l
    JOIN channel_capability c ON c.id = l.subject_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN jsonb_typeof(l.before -> 'constraints') = 'object' THEN l.before -> 'constraints' ELSE '{}' END AS old,
               CASE WHEN jsonb_typeof(l.after -> 'constraints') = 'object' THEN l.after -> 'constraints' ELSE '{}' END AS new
    ) v
    CROSS JOIN LATERAL jsonb_object_keys(v.old || v.new) AS k (name)
    WHERE l.action = 'capability.set' AND v.old -> k.name IS DISTINCT FROM v.new -> k.name
) s
GROUP BY s.connector_id, s.feature;
