-- Inbound items that must happen later: for a flow's answer, a paused route, a message that has not come yet (design section 6).
-- No payload: the item lies in the raw topic, at the position that the row names.
CREATE TABLE held_record (
    id UUID NOT NULL,
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    connector_id UUID NOT NULL,
    account_id UUID NOT NULL,
    conversation_id UUID,
    target TEXT,
    request_id UUID,
    epoch UUID NOT NULL,
    raw_partition INTEGER NOT NULL,
    raw_offset BIGINT NOT NULL,
    item TEXT NOT NULL,
    reason TEXT NOT NULL,
    blocks BOOLEAN NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 1,
    decision JSONB,
    state TEXT NOT NULL DEFAULT 'waiting',
    due_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    first_arrival_at timestamptz NOT NULL,
    sent_at timestamptz,
    copy_offset BIGINT,
    done_at timestamptz,
    CONSTRAINT pk_held_record PRIMARY KEY (id),
    CONSTRAINT uq_held_record_epoch_raw_partition_raw_offset_item UNIQUE (epoch, raw_partition, raw_offset, item),
    CONSTRAINT ck_held_record_state CHECK (state IN ('waiting', 'sent', 'done')),
    CONSTRAINT ck_held_record_reason CHECK (
        reason IN ('intake', 'flow_unusable', 'paused', 'queued', 'target_unknown', 'behind_target')),
    CONSTRAINT ck_held_record_line CHECK (CASE WHEN blocks THEN conversation_id IS NOT NULL ELSE target IS NOT NULL END)
) WITH (fillfactor = 70);

CREATE INDEX ix_held_record_due ON held_record (due_at) WHERE state = 'waiting';
CREATE INDEX ix_held_record_conversation ON held_record (conversation_id, seq) WHERE blocks AND state <> 'done';
CREATE INDEX ix_held_record_target ON held_record (connector_id, target, seq) WHERE NOT blocks AND state <> 'done';
CREATE INDEX ix_held_record_sent ON held_record (raw_partition, copy_offset) WHERE state = 'sent';
CREATE INDEX ix_held_record_request ON held_record (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX ix_held_record_account ON held_record (account_id) WHERE state <> 'done';
CREATE INDEX ix_held_record_done ON held_record (done_at) WHERE state = 'done';

-- waiting -> sent -> (waiting | done), whoever writes. What is done stays so.
CREATE FUNCTION held_record_moves_on() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT (OLD.state = 'waiting' AND NEW.state = 'sent' OR OLD.state = 'sent' AND NEW.state IN ('waiting', 'done')) THEN
        PERFORM channels_refuse('held_state', format('a held record does not go from %s to %s', OLD.state, NEW.state));
    END IF;
    NEW.done_at := CASE WHEN NEW.state = 'done' THEN now() END;
    NEW.sent_at := CASE WHEN NEW.state = 'sent' THEN now() ELSE OLD.sent_at END;
    RETURN NEW;
END $$;
CREATE TRIGGER held_record_moves_on BEFORE UPDATE ON held_record
FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION held_record_moves_on();
CREATE TRIGGER held_record_stays_done BEFORE UPDATE ON held_record
FOR EACH ROW WHEN (OLD.state = 'done' AND NEW.state = 'done') EXECUTE FUNCTION held_record_moves_on();

REVOKE EXECUTE ON FUNCTION held_record_moves_on() FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON held_record TO channels_worker;

-- A paused route: its cause and when it began. The use cases set it; the table's policy of rows holds for them.
ALTER TABLE account_state ADD COLUMN route_cause TEXT, ADD COLUMN route_since timestamptz;
GRANT INSERT (account_id, route, route_cause, route_since), UPDATE (route, route_cause, route_since) ON account_state TO channels_api;
