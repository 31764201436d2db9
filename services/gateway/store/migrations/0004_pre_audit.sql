-- Audit records: a row for every mutation and every refused call. They may be deleted when their time is over;
-- who caused an event stands in the event as well, for good.
-- The application role adds rows and reads them. It deletes only through the function below, and only old ones.

CREATE TABLE audit (
    at               timestamptz NOT NULL,
    row_id           bigint NOT NULL,
    calls            integer NOT NULL CHECK (calls > 0),
    partner_id       text,
    key_id           text,
    method           text NOT NULL,
    route            text NOT NULL,
    status           smallint NOT NULL,
    word             text,
    request_id       text,
    address          text NOT NULL,
    replayed         boolean NOT NULL,
    command_id       uuid,
    reservation_id   text,
    order_id         text,
    answered_by      text,
    generation       integer,
    partition        smallint,
    seq              bigint,
    duration_us      bigint NOT NULL,
    -- Rows come nearly in the order of this key, so that it grows at its end only.
    PRIMARY KEY (at, row_id),
    CHECK (calls = 1 OR command_id IS NULL)
);
COMMENT ON TABLE audit IS 'Who asked for what, when, from where, and what came of it. No personal data.';
COMMENT ON COLUMN audit.calls IS 'More than 1: so many refusals of one batch that were alike; at and duration_us are the last one''s.';
COMMENT ON COLUMN audit.address IS 'The network of the source address, /24 or /48.';
COMMENT ON COLUMN audit.seq IS 'Where the answering log stood: the event that a mutation led to is at or before it.';
CREATE INDEX audit_by_request ON audit (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX audit_by_reservation ON audit (reservation_id) WHERE reservation_id IS NOT NULL;
CREATE INDEX audit_by_order ON audit (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX audit_by_partner ON audit (partner_id, at, row_id) WHERE partner_id IS NOT NULL;
CREATE INDEX audit_by_key ON audit (key_id, at, row_id) WHERE key_id IS NOT NULL;

CREATE FUNCTION delete_old_audit_rows(older_than_days integer, rows_max integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    deleted integer;
BEGIN
    IF older_than_days < 7 THEN
        RAISE EXCEPTION 'audit rows are kept for 7 days at least';
    END IF;
    WITH old AS (
        SELECT at, row_id FROM public.audit
         WHERE at < clock_timestamp() - make_interval(days => older_than_days)
         ORDER BY at, row_id LIMIT rows_max
    )
    DELETE FROM public.audit AS row USING old WHERE row.at = old.at AND row.row_id = old.row_id;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
REVOKE ALL ON FUNCTION delete_old_audit_rows FROM PUBLIC;

GRANT SELECT, INSERT ON audit TO ota_gateway_app;
GRANT EXECUTE ON FUNCTION delete_old_audit_rows TO ota_gateway_app;
