-- What each role may do, and nothing else (design section 5, Roles). The owner (channels_owner) runs the migrations.

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO channels_api, channels_worker, channels_credential;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;

-- The use cases of API and CLI. They write tokens but never read them back.
GRANT SELECT, INSERT, UPDATE, DELETE ON
    channel_connector, channel_account, channel_capability, channel_webhook, channel_fallback, connector_default_fallback
    TO channels_api;
GRANT SELECT (id, connector_id, kind, expires_at, metadata, created_at), INSERT, DELETE ON channel_token TO channels_api;
GRANT UPDATE (expires_at, metadata) ON channel_token TO channels_api;
GRANT SELECT, INSERT ON channel_health_check, audit_log, outbox TO channels_api;
GRANT SELECT ON channel_usage_log, channel_mapping, account_state TO channels_api;
GRANT SELECT, INSERT, UPDATE ON tenant, org_unit, automation_flow, snapshot_version, data_key TO channels_api;

-- Router and relay: the router's memory, the mappings, the outbox, and what snapshots are built from. No tokens.
GRANT SELECT, INSERT, UPDATE, DELETE ON claim TO channels_worker;
GRANT SELECT, INSERT ON delivery_state TO channels_worker;
GRANT SELECT, INSERT, UPDATE ON router_progress, channel_mapping TO channels_worker;
GRANT SELECT, UPDATE, DELETE ON outbox TO channels_worker;
GRANT SELECT ON
    channel_connector, channel_account, channel_webhook, channel_capability, channel_fallback, connector_default_fallback,
    account_state, snapshot_version, data_key, tenant, org_unit, automation_flow
    TO channels_worker;

-- Those that open tokens; each plaintext read leaves a row in the audit log.
GRANT SELECT ON channel_token, channel_connector, data_key, tenant TO channels_credential;
GRANT INSERT ON audit_log TO channels_credential;
