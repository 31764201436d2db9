-- Who has used how much of each partner's limit of calls a minute, over all gateways.
-- One row for each partner, replaced whole by whoever read its version: there are no old rows to purge.

CREATE TABLE quota (
    partner_id       text PRIMARY KEY,
    version          bigint NOT NULL CHECK (version > 0),
    used_until       bigint[] NOT NULL,
    used_calls       integer[] NOT NULL,
    leases           jsonb NOT NULL,
    CHECK (cardinality(used_until) = cardinality(used_calls))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
COMMENT ON COLUMN quota.used_until IS 'Milliseconds since 1970 of our clock until which the calls at the same place count.';
COMMENT ON COLUMN quota.leases IS 'What each gateway has taken and not yet reported as used; it counts as used.';

GRANT SELECT, INSERT, UPDATE ON quota TO ota_gateway_app;
