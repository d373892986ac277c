-- What the management API needs: answers that a repeated creation gets again, indexes that lists are paged by, and deleting.

CREATE TABLE idempotency_key (
    tenant_id UUID NOT NULL,
    key TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    status INTEGER,
    headers JSONB,
    answer JSONB,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_idempotency_key PRIMARY KEY (tenant_id, key),
    CONSTRAINT ck_idempotency_key_length CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT fk_idempotency_key_tenant_id_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
);
CREATE INDEX ix_idempotency_key_created_at ON idempotency_key (created_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_key TO channels_api;

-- A page begins where the last one ended: the filter first, then the order.
CREATE INDEX ix_channel_connector_tenant_id_id ON channel_connector (tenant_id, id);
CREATE INDEX ix_channel_account_connector_id_id ON channel_account (connector_id, id);
CREATE INDEX ix_channel_health_check_connector_id_executado_em_id ON channel_health_check (connector_id, executado_em, id);
CREATE INDEX ix_channel_usage_log_connector_id_data_id ON channel_usage_log (connector_id, data, id);
CREATE INDEX ix_channel_usage_log_account_id_data_id ON channel_usage_log (account_id, data, id);
CREATE INDEX ix_channel_mapping_connector_id_id ON channel_mapping (connector_id, id);
CREATE INDEX ix_channel_mapping_account_id_id ON channel_mapping (account_id, id);
CREATE INDEX ix_channel_health_check_account_id_executado_em_id ON channel_health_check (account_id, executado_em, id);
CREATE INDEX ix_audit_log_tenant_id_id ON audit_log (tenant_id, id);
CREATE INDEX ix_audit_log_subject_id_id ON audit_log (subject_id, id);
CREATE INDEX ix_connector_default_fallback_fallback_id ON connector_default_fallback (fallback_id);

-- A connector that never carried anything may be deleted; its checks go with it.
GRANT DELETE ON channel_health_check TO channels_api;
