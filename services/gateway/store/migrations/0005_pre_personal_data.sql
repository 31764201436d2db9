-- Erasures and changes of the master key: what was done, append-only, without a word about whom it was.
-- Only the role that owns the database erases and wraps anew; the application role can't, not even by a mistake of ours.

CREATE TABLE personal_data_event (
    seq            bigint PRIMARY KEY CHECK (seq > 0),
    type           text NOT NULL,
    version        smallint NOT NULL,
    data           json NOT NULL,
    actor          text NOT NULL,
    at             timestamptz NOT NULL,
    previous_hash  bytea NOT NULL CHECK (length(previous_hash) = 32),
    hash           bytea NOT NULL CHECK (length(hash) = 32)
);
COMMENT ON TABLE personal_data_event IS 'Append-only by grant and by trigger. hash is that of libs/events/hashing.py.';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed: it stays as it is', TG_OP, TG_TABLE_NAME;
END
$$;
CREATE TRIGGER personal_data_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON personal_data_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A key row stays for good: without it a repeat of the request could store a key again for what was erased.
CREATE TRIGGER personal_key_stays BEFORE DELETE OR TRUNCATE ON personal_key
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER personal_key_erased_for_good BEFORE UPDATE ON personal_key
    FOR EACH ROW WHEN (OLD.erased_at IS NOT NULL) EXECUTE FUNCTION refuse_change();

ALTER TABLE personal_key ADD CONSTRAINT personal_key_erased_whole
    CHECK (erased_at IS NULL OR (email_hash IS NULL AND phone_hash IS NULL));
