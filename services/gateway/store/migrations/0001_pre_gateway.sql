-- The gateway's own tables: who may call, wrapped keys of personal data, marks of the clean-up call.
-- The application role may not take back what must stay: keys of partners and of personal data are never deleted by it.

CREATE TABLE partner (
    partner_id       text PRIMARY KEY,
    name             text NOT NULL,
    channel          text NOT NULL,
    permissions      text[] NOT NULL,
    calls_per_minute integer NOT NULL CHECK (calls_per_minute > 0),
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE api_key (
    key_id           text PRIMARY KEY,
    key_hash         bytea NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    partner_id       text NOT NULL REFERENCES partner,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at       timestamptz,
    revoked_at       timestamptz
);
COMMENT ON COLUMN api_key.key_hash IS 'HMAC-SHA-256 of the key under the pepper; the key itself is stored nowhere.';
CREATE INDEX api_key_by_partner ON api_key (partner_id);

-- One row. Whatever changes partners or keys raises it, so that gateways see a change by reading one number.
CREATE TABLE directory_version (
    only_row         boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version          bigint NOT NULL
);
INSERT INTO directory_version (version) VALUES (1);

CREATE FUNCTION raise_directory_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.directory_version SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER partner_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON partner
    FOR EACH STATEMENT EXECUTE FUNCTION raise_directory_version();
CREATE TRIGGER api_key_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON api_key
    FOR EACH STATEMENT EXECUTE FUNCTION raise_directory_version();

CREATE TABLE personal_key (
    key_id           uuid PRIMARY KEY,
    partner_id       text NOT NULL,
    reservation_id   text NOT NULL,
    wrapped          bytea,
    master_key_id    text NOT NULL,
    email_hash       text,
    phone_hash       text,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased_at        timestamptz,
    CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL))
);
COMMENT ON TABLE personal_key IS
    'Keys of sealed personal data, wrapped under the master key. An erasure empties wrapped and the hashes and sets erased_at.';
CREATE INDEX personal_key_by_email ON personal_key (email_hash) WHERE email_hash IS NOT NULL;
CREATE INDEX personal_key_by_phone ON personal_key (phone_hash) WHERE phone_hash IS NOT NULL;
CREATE INDEX personal_key_by_reservation ON personal_key (reservation_id);

CREATE TABLE cleanup_mark (
    partner_id       text PRIMARY KEY,
    last_asked_at    timestamptz
);
COMMENT ON COLUMN cleanup_mark.last_asked_at IS 'When the newest expiry ran out that the partner was told of.';

CREATE TABLE cleanup_answer (
    command_id       uuid PRIMARY KEY,
    partner_id       text NOT NULL,
    expired          integer NOT NULL,
    answered_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cleanup_answer_by_partner ON cleanup_answer (partner_id, answered_at);

GRANT USAGE ON SCHEMA public TO ota_gateway_app;
GRANT SELECT, INSERT, UPDATE ON partner, api_key TO ota_gateway_app;
GRANT SELECT, UPDATE (version) ON directory_version TO ota_gateway_app;
GRANT SELECT, INSERT ON personal_key TO ota_gateway_app;
GRANT SELECT, INSERT, UPDATE ON cleanup_mark TO ota_gateway_app;
GRANT SELECT, INSERT, DELETE ON cleanup_answer TO ota_gateway_app;
