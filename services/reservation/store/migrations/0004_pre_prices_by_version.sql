-- A reservation names the catalogue version whose prices it has (ADR 22) instead of repeating them.
-- Rewrites the table under an exclusive lock; services of the version before must be down.

DROP VIEW read_v1.reservation;
ALTER TABLE reservation ADD COLUMN rule_version bigint;
UPDATE reservation SET rule_version = (prices::json ->> 'rule_version')::bigint;
ALTER TABLE reservation ALTER COLUMN rule_version SET NOT NULL, DROP COLUMN prices;

CREATE VIEW read_v1.reservation AS
    SELECT reservation_id, partition, pool_no, product_id, channel, partner_id, quantity, status,
           held_at, expires_at, rule_version, visit_date,
           customer_reference::json AS customer_reference, customer_reference_hash,
           order_id, ended_at
      FROM reservation;
GRANT SELECT ON read_v1.reservation TO ota_reader;
