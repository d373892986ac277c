-- What became of a dead letter: its copy was written to the raw topic, or somebody dropped it. No row: it is still open.
-- The letter itself stays in its topic; `topic_id` is that topic's incarnation, because a re-created one counts from 0 again.
CREATE TABLE dead_letter_mark (
    topic_id UUID NOT NULL,
    partition INTEGER NOT NULL,
    letter_offset BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    note TEXT,
    raw_partition INTEGER,
    raw_offset BIGINT,
    actor TEXT NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_dead_letter_mark PRIMARY KEY (topic_id, partition, letter_offset),
    CONSTRAINT ck_dead_letter_mark_outcome CHECK (
        outcome = 'redriven' AND raw_partition IS NOT NULL AND raw_offset IS NOT NULL
        OR outcome = 'dropped' AND note ~ '\S')
);

-- Letters are of all tenants, and so are the operators' commands: the role of the use cases sees none of it.
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letter_mark TO channels_worker;
-- Who redrove, dropped or opened what stands in the connector's own log. Insert only: the role reads nothing there.
GRANT INSERT ON audit_log TO channels_worker;
