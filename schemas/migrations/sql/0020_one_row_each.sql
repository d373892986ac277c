-- What makes a row mine is asked row by row, by the key of the row it hangs on.
--
-- `EXISTS (... WHERE c.id = connector_id AND c.tenant_id = channels_tenant())` may also be planned as a list of all connectors of
-- the tenant, hashed before the first row is looked at. Where PostgreSQL expects a handful of rows and an average tenant it did so:
-- in a tenant of 8 000 connectors the twelve capabilities of one of them took 1.4 ms in place of 0.04. A scalar subquery cannot be
-- planned so. It finds the same rows: nothing found is NULL, and a rule that is not true lets nothing through, for reading as for
-- writing. The previous release asks for nothing else.
DO $$
DECLARE
    mine text := ' = channels_tenant()';
    connector text := '(SELECT c.tenant_id FROM channel_connector c WHERE c.id = @.connector_id)';
    account text := '(SELECT c.tenant_id FROM channel_account a JOIN channel_connector c ON c.id = a.connector_id'
                    ' WHERE a.id = @.account_id)';
    webhook text := '(SELECT c.tenant_id FROM channel_webhook w JOIN channel_connector c ON c.id = w.connector_id'
                    ' WHERE w.id = @.webhook_id)';
    token text := '(SELECT c.tenant_id FROM channel_token t JOIN channel_connector c ON c.id = t.connector_id'
                  ' WHERE t.id = @.token_id)';
    same_connector text := ' AND (@.account_id IS NULL'
                           ' OR (SELECT a.connector_id FROM channel_account a WHERE a.id = @.account_id) = @.connector_id)';
    same_tenant text := ' AND (SELECT c.tenant_id FROM channel_fallback f JOIN channel_account a ON a.id = f.account_id'
                        ' JOIN channel_connector c ON c.id = a.connector_id'
                        ' WHERE f.id = @.fallback_id) = channels_tenant()';
    rule record;
BEGIN
    FOR rule IN SELECT * FROM (VALUES
        ('channel_account', connector, ''),
        ('channel_capability', connector, ''),
        ('channel_token', connector, ''),
        ('channel_webhook', connector, ''),
        ('connector_certificate', connector, ''),
        ('health_state', connector, ''),
        ('secret_rotation', connector, ''),
        ('sync_errand', connector, ''),
        ('channel_health_check', connector, same_connector),
        ('channel_usage_log', connector, same_connector),
        ('channel_mapping', connector, same_connector),
        ('channel_override', connector, same_connector),
        ('sync_job', connector, same_connector),
        ('connector_default_fallback', connector, same_tenant),
        ('channel_fallback', account, ''),
        ('account_state', account, ''),
        ('account_activity', account, ''),
        ('account_description', account, ''),
        ('mailbox_position', account, ''),
        ('secret_use', webhook, ''),
        ('token_renewal', token, '')
    ) AS r (name, whose, also_to_write) LOOP
        EXECUTE 'ALTER POLICY own_tenant ON ' || rule.name
                || ' USING (' || replace(rule.whose || mine, '@', rule.name) || ')'
                || ' WITH CHECK (' || replace(rule.whose || mine || rule.also_to_write, '@', rule.name) || ')';
    END LOOP;
END $$;
