-- Enum types with the owner's values, reference copies, the nine tables of the owner's text, then our own support tables.

CREATE TYPE channel_type AS ENUM ('whatsapp_official', 'whatsapp_unofficial', 'telegram', 'email', 'webchat', 'future');
CREATE TYPE connector_status AS ENUM ('active', 'pending', 'error', 'archived');
CREATE TYPE account_status AS ENUM ('active', 'inactive', 'pending');
CREATE TYPE channel_feature AS ENUM ('messages', 'templates', 'media_upload', 'typing', 'read_receipts', 'buttons');
CREATE TYPE token_kind AS ENUM ('access_token', 'refresh_token', 'api_key', 'secret');
CREATE TYPE webhook_event AS ENUM ('message_in', 'message_status', 'delivery', 'contact_update', 'fallback');
CREATE TYPE webhook_status AS ENUM ('active', 'disabled');
CREATE TYPE health_status AS ENUM ('passed', 'failed', 'warning');
CREATE TYPE usage_type AS ENUM ('message_in', 'message_out', 'template_send', 'file_upload', 'rule_trigger');
CREATE TYPE entity_type AS ENUM ('contact', 'conversation', 'message');
CREATE TYPE fallback_type AS ENUM ('fallback_number', 'email_forward', 'voicemail');

CREATE TABLE tenant (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    timezone TEXT DEFAULT 'UTC' NOT NULL,
    CONSTRAINT pk_tenant PRIMARY KEY (id)
);

CREATE TABLE org_unit (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    name TEXT NOT NULL,
    CONSTRAINT pk_org_unit PRIMARY KEY (id),
    CONSTRAINT fk_org_unit_tenant_id_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
);
CREATE INDEX ix_org_unit_tenant_id ON org_unit (tenant_id);

CREATE TABLE automation_flow (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    published BOOLEAN NOT NULL,
    CONSTRAINT pk_automation_flow PRIMARY KEY (id),
    CONSTRAINT fk_automation_flow_tenant_id_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
);
CREATE INDEX ix_automation_flow_tenant_id ON automation_flow (tenant_id);

CREATE TABLE channel_connector (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    tipo channel_type NOT NULL,
    nome VARCHAR NOT NULL,
    projeto_referencia VARCHAR,
    config JSONB NOT NULL,
    status connector_status NOT NULL,
    ultimo_heartbeat timestamptz,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_channel_connector PRIMARY KEY (id),
    CONSTRAINT fk_channel_connector_tenant_id_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
);
CREATE INDEX ix_channel_connector_tenant_id ON channel_connector (tenant_id);

CREATE TABLE channel_account (
    id UUID NOT NULL,
    connector_id UUID NOT NULL,
    identidade VARCHAR NOT NULL,
    nome_exibicao VARCHAR,
    status account_status NOT NULL,
    org_unit_id UUID,
    intake_flow_id UUID,
    config JSONB,
    webhook_url VARCHAR,
    ultima_sync timestamptz,
    metadata JSONB,
    CONSTRAINT pk_channel_account PRIMARY KEY (id),
    CONSTRAINT uq_channel_account_connector_id_identidade UNIQUE (connector_id, identidade),
    CONSTRAINT ck_channel_account_route_missing CHECK (org_unit_id IS NOT NULL OR intake_flow_id IS NOT NULL),
    CONSTRAINT fk_channel_account_connector_id_channel_connector FOREIGN KEY (connector_id) REFERENCES channel_connector (id),
    CONSTRAINT fk_channel_account_org_unit_id_org_unit FOREIGN KEY (org_unit_id) REFERENCES org_unit (id),
    CONSTRAINT fk_channel_account_intake_flow_id_automation_flow FOREIGN KEY (intake_flow_id) REFERENCES automation_flow (id)
);
CREATE INDEX ix_channel_account_connector_id ON channel_account (connector_id);
CREATE INDEX ix_channel_account_intake_flow_id ON channel_account (intake_flow_id);
CREATE INDEX ix_channel_account_org_unit_id ON channel_account (org_unit_id);

CREATE TABLE channel_capability (
    id UUID NOT NULL,
    connector_id UUID NOT NULL,
    feature channel_feature NOT NULL,
    enabled BOOLEAN NOT NULL,
    constraints JSONB,
    CONSTRAINT pk_channel_capability PRIMARY KEY (id),
    CONSTRAINT uq_channel_capability_connector_id_feature UNIQUE (connector_id, feature),
    CONSTRAINT fk_channel_capability_connector_id_channel_connector FOREIGN KEY (connector_id) REFERENCES channel_connector (id)
);
CREATE INDEX ix_channel_capability_connector_id ON channel_capability (connector_id);

CREATE TABLE channel_token (
    id UUID NOT NULL,
    connector_id UUID NOT NULL,
    kind token_kind NOT NULL,
    valor_encrypted TEXT NOT NULL,
    expires_at timestamptz,
    metadata JSONB,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_channel_token PRIMARY KEY (id),
    CONSTRAINT fk_channel_token_connector_id_channel_connector FOREIGN KEY (connector_id) REFERENCES channel_connector (id)
);
CREATE INDEX ix_channel_token_connector_id ON channel_token (connector_id);

CREATE TABLE channel_webhook (
    id UUID NOT NULL,
    connector_id UUID NOT NULL,
    evento webhook_event NOT NULL,
    url VARCHAR NOT NULL,
    segredo VARCHAR,
    status webhook_status NOT NULL,
    ultimo_evento_em timestamptz,
    CONSTRAINT pk_channel_webhook PRIMARY KEY (id),
    CONSTRAINT ck_channel_webhook_segredo_missing CHECK (status <> 'active' OR (segredo IS NOT NULL AND segredo <> '')),
    CONSTRAINT fk_channel_webhook_connector_id_channel_connector FOREIGN KEY (connector_id) REFERENCES channel_connector (id)
);
CREATE INDEX ix_channel_webhook_connector_id ON channel_webhook (connector_id);

CREATE TABLE channel_health_check (
    id UUID NOT NULL,
    connector_id UUID NOT NULL,
    account_id UUID,
    status health_status NOT NULL,
    mensagem TEXT,
    executado_em timestamptz NOT NULL,
    duracao_ms INTEGER,
    CONSTRAINT pk_channel_health_check PRIMARY KEY (id),
    CONSTRAINT fk_channel_health_check_connector_id_channel_connector FOREIGN KEY (connector_id) REFERENCES channel_connector (id),
    CONSTRAINT fk_channel_health_check_account_id_channel_account FOREIGN KEY (account_id) REFERENCES channel_account (id)
);
CREATE INDEX ix_channel_health_check_connector_id ON channel_health_check (connector_id);
CREATE INDEX ix_channel_health_check_executado_em ON channel_health_check (executado_em);

CREATE TABLE channel_usage_log (
    id UUID NOT NULL,
    connector_id UUID NOT NULL,
    account_id UUID,
    tipo usage_type NOT NULL,
    quantidade INTEGER NOT NULL,
    data DATE NOT NULL,
    metadata JSONB,
    CONSTRAINT pk_channel_usage_log PRIMARY KEY (id),
    CONSTRAINT uq_channel_usage_log_connector_id_account_id_tipo_data UNIQUE NULLS NOT DISTINCT (connector_id, account_id, tipo, data),
    CONSTRAINT fk_channel_usage_log_connector_id_channel_connector FOREIGN KEY (connector_id) REFERENCES channel_connector (id),
    CONSTRAINT fk_channel_usage_log_account_id_channel_account FOREIGN KEY (account_id) REFERENCES channel_account (id)
);
CREATE INDEX ix_channel_usage_log_account_id ON channel_usage_log (account_id);
CREATE INDEX ix_channel_usage_log_connector_id ON channel_usage_log (connector_id);
CREATE INDEX ix_channel_usage_log_data ON channel_usage_log (data);

CREATE TABLE channel_mapping (
    id UUID NOT NULL,
    connector_id UUID NOT NULL,
    account_id UUID,
    chave_externa VARCHAR NOT NULL,
    entidade_type entity_type NOT NULL,
    entidade_id UUID NOT NULL,
    metadata JSONB,
    CONSTRAINT pk_channel_mapping PRIMARY KEY (id),
    CONSTRAINT uq_channel_mapping_connector_id_chave_externa_entidade_type UNIQUE (connector_id, chave_externa, entidade_type),
    CONSTRAINT fk_channel_mapping_connector_id_channel_connector FOREIGN KEY (connector_id) REFERENCES channel_connector (id),
    CONSTRAINT fk_channel_mapping_account_id_channel_account FOREIGN KEY (account_id) REFERENCES channel_account (id)
);
CREATE INDEX ix_channel_mapping_connector_id ON channel_mapping (connector_id);
CREATE INDEX ix_channel_mapping_entidade_id ON channel_mapping (entidade_id);

CREATE TABLE channel_fallback (
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    tipo fallback_type NOT NULL,
    destino VARCHAR NOT NULL,
    ativo BOOLEAN NOT NULL,
    CONSTRAINT pk_channel_fallback PRIMARY KEY (id),
    CONSTRAINT fk_channel_fallback_account_id_channel_account FOREIGN KEY (account_id) REFERENCES channel_account (id)
);
CREATE INDEX ix_channel_fallback_account_id ON channel_fallback (account_id);

CREATE TABLE account_state (
    account_id UUID NOT NULL,
    route TEXT DEFAULT 'open' NOT NULL,
    fallback TEXT,
    cause TEXT,
    since timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_account_state PRIMARY KEY (account_id),
    CONSTRAINT ck_account_state_route CHECK (route IN ('open', 'paused')),
    CONSTRAINT fk_account_state_account_id_channel_account FOREIGN KEY (account_id) REFERENCES channel_account (id) ON DELETE CASCADE
);

CREATE TABLE connector_default_fallback (
    connector_id UUID NOT NULL,
    fallback_id UUID NOT NULL,
    CONSTRAINT pk_connector_default_fallback PRIMARY KEY (connector_id),
    CONSTRAINT fk_connector_default_fallback_connector_id_channel_connector FOREIGN KEY (connector_id) REFERENCES channel_connector (id),
    CONSTRAINT fk_connector_default_fallback_fallback_id_channel_fallback FOREIGN KEY (fallback_id) REFERENCES channel_fallback (id)
);

CREATE TABLE claim (
    key BYTEA NOT NULL,
    raw_partition INTEGER NOT NULL,
    raw_offset BIGINT NOT NULL,
    item TEXT NOT NULL,
    epoch UUID NOT NULL,
    taken_from TEXT,
    claimed_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_claim PRIMARY KEY (key)
);

CREATE TABLE delivery_state (
    message_id UUID NOT NULL,
    participant TEXT DEFAULT '' NOT NULL,
    status TEXT NOT NULL,
    epoch UUID NOT NULL,
    raw_partition INTEGER NOT NULL,
    raw_offset BIGINT NOT NULL,
    item TEXT NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_delivery_state PRIMARY KEY (message_id, participant, status)
);

CREATE TABLE router_progress (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    topic_id UUID NOT NULL,
    first_offset BIGINT NOT NULL,
    end_offset BIGINT NOT NULL,
    CONSTRAINT pk_router_progress PRIMARY KEY (topic, partition)
);

CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    topic TEXT NOT NULL,
    subject_id UUID NOT NULL,
    detail JSONB,
    created_at timestamptz DEFAULT now() NOT NULL,
    batch_number BIGINT,
    CONSTRAINT pk_outbox PRIMARY KEY (id),
    CONSTRAINT ck_outbox_topic CHECK (topic IN ('channel.connector.snapshot', 'channel.account.snapshot', 'channel.connector.status_changed'))
);

CREATE TABLE snapshot_version (
    subject_id UUID NOT NULL,
    kind TEXT NOT NULL,
    version BIGINT NOT NULL,
    CONSTRAINT pk_snapshot_version PRIMARY KEY (subject_id),
    CONSTRAINT ck_snapshot_version_kind CHECK (kind IN ('connector', 'account'))
);

CREATE TABLE data_key (
    key_id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    purpose TEXT NOT NULL,
    wrapped TEXT NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    retired_at timestamptz,
    CONSTRAINT pk_data_key PRIMARY KEY (key_id),
    CONSTRAINT ck_data_key_purpose CHECK (purpose IN ('ingest', 'credential')),
    CONSTRAINT fk_data_key_tenant_id_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
);
CREATE INDEX ix_data_key_tenant_id_purpose ON data_key (tenant_id, purpose);

CREATE TABLE audit_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    tenant_id UUID NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject_type TEXT NOT NULL,
    subject_id UUID NOT NULL,
    before JSONB,
    after JSONB,
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_audit_log PRIMARY KEY (id),
    CONSTRAINT fk_audit_log_tenant_id_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
);
CREATE INDEX ix_audit_log_subject_id ON audit_log (subject_id);
CREATE INDEX ix_audit_log_tenant_id_at ON audit_log (tenant_id, at);
