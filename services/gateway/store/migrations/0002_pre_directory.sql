-- Partners and keys as events: directory_event is the truth, partner and api_key are made from it.
-- What was there before gets events as of when it was made, by the actor "migration".

CREATE TABLE directory_event (
    seq            bigint PRIMARY KEY CHECK (seq > 0),
    type           text NOT NULL,
    version        smallint NOT NULL,
    partner_id     text NOT NULL,
    data           json NOT NULL,
    actor          text NOT NULL,
    at             timestamptz NOT NULL,
    previous_hash  bytea NOT NULL CHECK (length(previous_hash) = 32),
    hash           bytea NOT NULL CHECK (length(hash) = 32)
);
COMMENT ON TABLE directory_event IS 'Append-only by grant. seq is the version of the directory; hash is that of libs/events/hashing.py.';
CREATE INDEX directory_event_by_partner ON directory_event (partner_id, seq);

ALTER TABLE partner ADD COLUMN suspended_at timestamptz;
COMMENT ON TABLE partner IS 'Made from directory_event; the channel is fixed for good.';
COMMENT ON TABLE api_key IS 'Made from directory_event.';

-- An event raises the version now, in its own transaction.
DROP TRIGGER partner_changed ON partner;
DROP TRIGGER api_key_changed ON api_key;
DROP FUNCTION raise_directory_version();

UPDATE api_key k SET created_at = greatest(k.created_at, p.created_at)
  FROM partner p WHERE p.partner_id = k.partner_id;
UPDATE api_key SET revoked_at = greatest(revoked_at, created_at) WHERE revoked_at IS NOT NULL;

DO $$
DECLARE
    previous bytea := decode(repeat('00', 32), 'hex');
    last     bigint := 0;
    current  bytea;
    made     record;
BEGIN
    FOR made IN
        SELECT * FROM (
            SELECT 1 AS turn, created_at AS at, partner_id, 'ota.gateway.partner_registered' AS type,
                   json_build_object('partner_id', partner_id, 'name', name, 'channel', channel,
                                     'permissions', permissions, 'calls_per_minute', calls_per_minute)::text AS data
              FROM partner
             UNION ALL
            SELECT 2, created_at, partner_id, 'ota.gateway.key_issued',
                   json_build_object('partner_id', partner_id, 'key_id', key_id, 'key_hash', encode(key_hash, 'hex'),
                                     'expires_at', expires_at)::text
              FROM api_key
             UNION ALL
            SELECT 3, revoked_at, partner_id, 'ota.gateway.key_revoked',
                   json_build_object('partner_id', partner_id, 'key_id', key_id)::text
              FROM api_key WHERE revoked_at IS NOT NULL
        ) AS found
        ORDER BY at, turn, partner_id, data
    LOOP
        last := last + 1;
        current := sha256(previous || convert_to(concat_ws(E'\n',
            'gateway', '1-0-' || last, made.type, '1', made.partner_id,
            to_char(made.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00',
            '"migration"', made.data), 'UTF8'));
        INSERT INTO directory_event
        VALUES (last, made.type, 1, made.partner_id, made.data::json, 'migration', made.at, previous, current);
        previous := current;
    END LOOP;
    UPDATE directory_version SET version = last;
END
$$;

-- When each key was last seen. Apart from the keys, so that noting it is no change of the directory.
CREATE TABLE api_key_use (
    key_id         text PRIMARY KEY,
    last_used_at   timestamptz NOT NULL
) WITH (fillfactor = 50);

GRANT SELECT, INSERT ON directory_event TO ota_gateway_app;
GRANT SELECT, INSERT, UPDATE ON api_key_use TO ota_gateway_app;
REVOKE UPDATE ON partner, api_key FROM ota_gateway_app;
GRANT UPDATE (name, permissions, calls_per_minute, suspended_at) ON partner TO ota_gateway_app;
GRANT UPDATE (expires_at, revoked_at) ON api_key TO ota_gateway_app;
