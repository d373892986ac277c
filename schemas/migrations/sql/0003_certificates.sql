-- Public certificates that a provider's signatures name by their address (Amazon SNS); they travel in the connector's snapshot.

CREATE TABLE connector_certificate (
    id UUID NOT NULL,
    connector_id UUID NOT NULL,
    url TEXT NOT NULL,
    pem TEXT NOT NULL,
    not_after timestamptz NOT NULL,
    fetched_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_connector_certificate PRIMARY KEY (id),
    CONSTRAINT uq_connector_certificate_connector_id_url UNIQUE (connector_id, url),
    CONSTRAINT ck_connector_certificate_sizes CHECK (length(url) <= 512 AND length(pem) <= 65536),
    CONSTRAINT fk_connector_certificate_connector_id_channel_connector FOREIGN KEY (connector_id) REFERENCES channel_connector (id) ON DELETE CASCADE
);

GRANT SELECT, INSERT, UPDATE, DELETE ON connector_certificate TO channels_api;
GRANT SELECT ON connector_certificate TO channels_worker;
