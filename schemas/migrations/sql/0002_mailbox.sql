-- How far each mailbox was read over IMAP, and who may read it now (services/mailbox).

CREATE TABLE mailbox_position (
    account_id UUID NOT NULL,
    server TEXT DEFAULT '' NOT NULL,
    uid_validity BIGINT,
    last_uid BIGINT DEFAULT 0 NOT NULL,
    resync_since DATE,
    resync_until_uid BIGINT,
    moved_at timestamptz,
    lease_holder TEXT,
    lease_epoch BIGINT DEFAULT 0 NOT NULL,
    lease_until timestamptz,
    CONSTRAINT pk_mailbox_position PRIMARY KEY (account_id),
    CONSTRAINT fk_mailbox_position_account_id_channel_account FOREIGN KEY (account_id) REFERENCES channel_account (id) ON DELETE CASCADE
);

GRANT SELECT, INSERT, UPDATE ON mailbox_position TO channels_worker;
GRANT SELECT ON mailbox_position TO channels_api;
