-- The live instances of this service: who has which partitions, and who has not been heard of lately.
-- Nothing here is worth a flush: after a crash of the server all instances sign on anew.

CREATE UNLOGGED TABLE service_instance (
    owner          text PRIMARY KEY,
    pid            integer NOT NULL,
    backend_start  timestamptz NOT NULL,
    beat_at        timestamptz NOT NULL,
    holding        smallint[] NOT NULL DEFAULT '{}',
    serving        smallint[] NOT NULL DEFAULT '{}',
    leaving        boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
COMMENT ON TABLE service_instance IS 'pid and backend_start name the session that holds the instance''s partitions.';

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON service_instance TO %I', replace(current_user, '_owner', '_app'));
END
$$;
