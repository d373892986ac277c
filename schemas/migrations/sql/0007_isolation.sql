-- A tenant sees only itself (design section 5, Roles). The role of the use cases, channels_api, acts for the tenant that its
-- transaction names in `channels.tenant`, and for nobody where it names none. FORCE: the rule holds for the owner of the tables
-- too, so that no later change of ownership opens them; the other roles work for all tenants and are given all rows by name.

CREATE FUNCTION channels_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
    -- A setting that was made once in a session is an empty text afterwards, not absent.
    SELECT nullif(current_setting('channels.tenant', true), '')::uuid
$$;

-- Notices and versions outlive what they are about (a deletion is announced too), so they name their tenant themselves.
ALTER TABLE outbox ADD COLUMN tenant_id UUID DEFAULT channels_tenant();
ALTER TABLE snapshot_version ADD COLUMN tenant_id UUID DEFAULT channels_tenant();

UPDATE snapshot_version v SET tenant_id = s.tenant_id
FROM (
    SELECT c.id, c.tenant_id FROM channel_connector c
    UNION ALL
    SELECT a.id, c.tenant_id FROM channel_account a JOIN channel_connector c ON c.id = a.connector_id
) s
WHERE s.id = v.subject_id;
UPDATE outbox o SET tenant_id = v.tenant_id FROM snapshot_version v WHERE v.subject_id = o.subject_id;

-- Whether a notice about this subject touches nobody else. Runs as the owner: the caller cannot see what it must not touch.
CREATE FUNCTION channels_subject_is_free(subject uuid, tenant uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT NOT EXISTS (SELECT 1 FROM channel_connector c WHERE c.id = subject AND c.tenant_id <> tenant)
       AND NOT EXISTS (SELECT 1 FROM channel_account a JOIN channel_connector c ON c.id = a.connector_id
                       WHERE a.id = subject AND c.tenant_id <> tenant)
$$;

-- A notice by a role that acts for nobody (an operator's, as the owner) is its subject's tenant's all the same.
CREATE FUNCTION notice_names_its_tenant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    SELECT c.tenant_id INTO NEW.tenant_id FROM channel_connector c
    WHERE c.id = NEW.subject_id OR c.id = (SELECT a.connector_id FROM channel_account a WHERE a.id = NEW.subject_id);
    RETURN NEW;
END $$;
CREATE TRIGGER notice_names_its_tenant BEFORE INSERT ON outbox
FOR EACH ROW WHEN (NEW.tenant_id IS NULL) EXECUTE FUNCTION notice_names_its_tenant();
CREATE TRIGGER notice_names_its_tenant BEFORE INSERT ON snapshot_version
FOR EACH ROW WHEN (NEW.tenant_id IS NULL) EXECUTE FUNCTION notice_names_its_tenant();

-- Operators name a tenant, or a connector by its id; their commands ask for whom to act before they act. Ids only.
CREATE FUNCTION tenants_named(wanted text) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.id FROM tenant t WHERE t.name = wanted ORDER BY t.id
$$;
CREATE FUNCTION tenant_of_connector(wanted uuid) RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.tenant_id FROM channel_connector c WHERE c.id = wanted
$$;

REVOKE EXECUTE ON FUNCTION channels_tenant(), channels_subject_is_free(uuid, uuid), notice_names_its_tenant(),
    tenants_named(text), tenant_of_connector(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION channels_tenant() TO channels_api, channels_worker, channels_credential;
GRANT EXECUTE ON FUNCTION channels_subject_is_free(uuid, uuid), tenants_named(text), tenant_of_connector(uuid) TO channels_api;

-- What makes a row mine, per table; `@` stands for the table. Where a row refers to a second object, that one must be mine too.
DO $$
DECLARE
    tenant text := 'tenant_id = channels_tenant()';
    connector text := 'EXISTS (SELECT 1 FROM channel_connector c WHERE c.id = @.connector_id AND c.tenant_id = channels_tenant())';
    account text := 'EXISTS (SELECT 1 FROM channel_account a JOIN channel_connector c ON c.id = a.connector_id'
                    ' WHERE a.id = @.account_id AND c.tenant_id = channels_tenant())';
    webhook text := 'EXISTS (SELECT 1 FROM channel_webhook w JOIN channel_connector c ON c.id = w.connector_id'
                    ' WHERE w.id = @.webhook_id AND c.tenant_id = channels_tenant())';
    subject text := ' AND channels_subject_is_free(subject_id, tenant_id)';
    same_connector text := ' AND (@.account_id IS NULL OR EXISTS (SELECT 1 FROM channel_account a'
                           ' WHERE a.id = @.account_id AND a.connector_id = @.connector_id))';
    same_tenant text := ' AND EXISTS (SELECT 1 FROM channel_fallback f JOIN channel_account a ON a.id = f.account_id'
                        ' JOIN channel_connector c ON c.id = a.connector_id'
                        ' WHERE f.id = @.fallback_id AND c.tenant_id = channels_tenant())';
    rule record;
BEGIN
    FOR rule IN SELECT * FROM (VALUES
        ('tenant', 'id = channels_tenant()', ''),
        ('org_unit', tenant, ''),
        ('automation_flow', tenant, ''),
        ('channel_connector', tenant, ''),
        ('data_key', tenant, ''),
        ('audit_log', tenant, ''),
        ('idempotency_key', tenant, ''),
        ('outbox', tenant, subject),
        ('snapshot_version', tenant, subject),
        ('channel_account', connector, ''),
        ('channel_capability', connector, ''),
        ('channel_token', connector, ''),
        ('channel_webhook', connector, ''),
        ('connector_certificate', connector, ''),
        ('channel_health_check', connector, same_connector),
        ('channel_usage_log', connector, same_connector),
        ('channel_mapping', connector, same_connector),
        ('connector_default_fallback', connector, same_tenant),
        ('channel_fallback', account, ''),
        ('account_state', account, ''),
        ('mailbox_position', account, ''),
        ('secret_use', webhook, '')
    ) AS r (name, mine, also_to_write) LOOP
        EXECUTE 'ALTER TABLE ' || rule.name || ' ENABLE ROW LEVEL SECURITY';
        EXECUTE 'ALTER TABLE ' || rule.name || ' FORCE ROW LEVEL SECURITY';
        EXECUTE 'CREATE POLICY own_tenant ON ' || rule.name || ' TO channels_api'
                || ' USING (' || replace(rule.mine, '@', rule.name) || ')'
                || ' WITH CHECK (' || replace(rule.mine || rule.also_to_write, '@', rule.name) || ')';
        EXECUTE 'CREATE POLICY all_tenants ON ' || rule.name
                || ' TO channels_owner, channels_worker, channels_credential USING (true) WITH CHECK (true)';
    END LOOP;
END $$;
