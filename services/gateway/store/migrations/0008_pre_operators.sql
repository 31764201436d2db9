-- Who may sign in to the console, and what was done there: the second table only ever grows.

CREATE TABLE operator (
    name             text PRIMARY KEY,
    role             text NOT NULL CHECK (role IN ('viewer', 'operator')),
    generation       bigint NOT NULL DEFAULT 1,
    password_hash    text,
    code_hash        bytea CHECK (length(code_hash) = 32),
    code_expires_at  timestamptz,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed_at       timestamptz,
    CHECK ((code_hash IS NULL) = (code_expires_at IS NULL))
);
COMMENT ON COLUMN operator.password_hash IS 'scrypt, with its parameters and salt.';
COMMENT ON COLUMN operator.code_hash IS 'SHA-256 of a random code that signs in once.';
COMMENT ON COLUMN operator.generation IS 'Sessions of an older one are over.';

CREATE TABLE operator_action (
    action_no  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    operator   text NOT NULL,
    action     text NOT NULL,
    subject    text NOT NULL,
    detail     text NOT NULL DEFAULT '',
    address    text NOT NULL DEFAULT ''
);
COMMENT ON TABLE operator_action IS 'Append-only by grant and by trigger. No personal data.';
COMMENT ON COLUMN operator_action.address IS 'The network of the source address, /24 or /48.';
CREATE INDEX operator_action_by_subject ON operator_action (action, subject);
CREATE TRIGGER operator_action_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_action
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT ON operator, operator_action TO ota_gateway_app;
GRANT UPDATE (role, generation, password_hash, code_hash, code_expires_at, removed_at) ON operator TO ota_gateway_app;
