-- What shows later tampering: signed anchors of the heads, and for each recorded answer the event that it is about.
-- The verifier's role reads everything here and changes nothing.

ALTER TABLE recorded_answer ADD COLUMN evidence text;
COMMENT ON COLUMN recorded_answer.evidence IS
    'Position and hash of the event that the command led to: what the partner''s receipt is made of.';

CREATE TABLE anchor_key (
    key_id        text PRIMARY KEY,
    public_key    bytea NOT NULL CHECK (length(public_key) = 32),
    first_used_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE anchor (
    partition    smallint NOT NULL,
    generation   integer NOT NULL,
    seq          bigint NOT NULL CHECK (seq > 0),
    hash         bytea NOT NULL CHECK (length(hash) = 32),
    anchored_at  timestamptz NOT NULL,
    key_id       text NOT NULL,
    signature    bytea NOT NULL CHECK (length(signature) = 64),
    PRIMARY KEY (partition, generation, seq)
);
COMMENT ON TABLE anchor IS 'Heads as they were, signed (docs/tamper-evidence.md). Append-only by grant; also in the topic ota.platform.anchors.v1.';

CREATE VIEW read_v1.anchor AS
    SELECT a.partition, a.generation, a.seq, a.hash, a.anchored_at, a.key_id, a.signature, k.public_key
      FROM anchor a LEFT JOIN anchor_key k USING (key_id);
GRANT SELECT ON read_v1.anchor TO ota_reader;

DO $$
DECLARE
    app text := replace(current_user, '_owner', '_app');
BEGIN
    EXECUTE format('GRANT SELECT, INSERT ON anchor, anchor_key TO %I', app);
END
$$;

-- Tables that the service's own migrations make later are granted by default.
GRANT USAGE ON SCHEMA public TO ota_verifier;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO ota_verifier;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO ota_verifier;
