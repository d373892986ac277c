-- Filters of lists that a tenant with most of all rows would otherwise answer by reading a whole table.
CREATE INDEX ix_channel_connector_tenant_id_nome_id ON channel_connector (tenant_id, nome, id);
CREATE INDEX ix_channel_account_identidade_connector_id_id ON channel_account (identidade, connector_id, id);
CREATE INDEX ix_audit_log_tenant_id_actor_id ON audit_log (tenant_id, actor, id);
CREATE INDEX ix_audit_log_tenant_id_action_id ON audit_log (tenant_id, action, id);
