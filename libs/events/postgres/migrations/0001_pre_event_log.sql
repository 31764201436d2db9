-- What every deciding service has: heads, the append-only log, recorded answers.
-- The application role, named after the owner that runs this, may add to the log but never change it.

CREATE SCHEMA read_v1;

CREATE TABLE partition_head (
    partition      smallint PRIMARY KEY,
    epoch          bigint NOT NULL DEFAULT 0,
    generation     integer NOT NULL DEFAULT 1,
    seq            bigint NOT NULL DEFAULT 0,
    decided_at     timestamptz NOT NULL DEFAULT '2020-01-01T00:00:00Z',
    hash           bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    inputs         json NOT NULL DEFAULT '{}',
    owner          text NOT NULL DEFAULT '',
    CHECK (seq >= 0)
) WITH (fillfactor = 50);

CREATE TABLE event (
    partition      smallint NOT NULL,
    seq            bigint NOT NULL,
    generation     integer NOT NULL,
    epoch          bigint NOT NULL,
    type           text NOT NULL,
    version        smallint NOT NULL,
    subject        text NOT NULL,
    decided_at     timestamptz NOT NULL,
    meta           json NOT NULL,
    data           json NOT NULL,
    previous_hash  bytea NOT NULL CHECK (length(previous_hash) = 32),
    hash           bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (partition, seq)
);
COMMENT ON TABLE event IS 'Append-only by grant. meta: correlation, cause, partner, key id, request id, trace, fingerprint, waiting gateway.';
CREATE INDEX event_by_subject ON event (subject, partition, seq);

CREATE TABLE recorded_answer (
    command_id     uuid PRIMARY KEY,
    partition      smallint NOT NULL,
    fingerprint    text NOT NULL,
    type           text NOT NULL,
    version        smallint NOT NULL,
    answer         json NOT NULL,
    reply_to       smallint,
    decided_at     timestamptz NOT NULL
);
CREATE INDEX recorded_answer_recent ON recorded_answer USING brin (decided_at) WITH (pages_per_range = 8, autosummarize = on);

CREATE TABLE outbox_mark (
    partition      smallint PRIMARY KEY,
    published_seq  bigint NOT NULL
) WITH (fillfactor = 50);

CREATE VIEW read_v1.event AS
    SELECT partition, generation, seq, epoch, type, version, subject, decided_at, meta, data, previous_hash, hash
      FROM event;
CREATE VIEW read_v1.progress AS
    SELECT partition, generation, seq, decided_at, inputs FROM partition_head;
GRANT SELECT ON read_v1.event, read_v1.progress TO ota_reader;

DO $$
DECLARE
    app text := replace(current_user, '_owner', '_app');
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA public, read_v1 TO %I', app);
    EXECUTE format('GRANT SELECT, INSERT ON event, recorded_answer TO %I', app);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON partition_head, outbox_mark TO %I', app);
END
$$;
GRANT USAGE ON SCHEMA read_v1 TO ota_reader;
