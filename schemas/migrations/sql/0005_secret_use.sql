-- When each receiving secret last proved a webhook, so that an administrator knows when the old one of a rotation is done.
-- `secret` is the number of the secret in its row's sealed list.

CREATE TABLE secret_use (
    webhook_id UUID NOT NULL,
    secret INTEGER NOT NULL,
    last_used_at timestamptz NOT NULL,
    CONSTRAINT pk_secret_use PRIMARY KEY (webhook_id, secret),
    CONSTRAINT fk_secret_use_webhook_id_channel_webhook FOREIGN KEY (webhook_id) REFERENCES channel_webhook (id) ON DELETE CASCADE
);

GRANT SELECT, INSERT, UPDATE ON secret_use TO channels_worker;
GRANT SELECT ON secret_use TO channels_api;
