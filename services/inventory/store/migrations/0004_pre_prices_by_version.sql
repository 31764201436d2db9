-- A hold names the catalogue version whose prices it has (ADR 22) instead of repeating them.
-- Rewrites the table under an exclusive lock; services of the version before must be down.

DROP VIEW read_v1.hold;
ALTER TABLE hold ADD COLUMN rule_version bigint;
UPDATE hold SET rule_version = (prices::json ->> 'rule_version')::bigint;
ALTER TABLE hold ALTER COLUMN rule_version SET NOT NULL, DROP COLUMN prices;

CREATE VIEW read_v1.hold AS
    SELECT o.reservation_id, o.pool_no, o.product_id, o.channel, o.partner_id, o.quantity, o.status,
           o.held_at, o.expires_at, o.rule_version, o.visit_date,
           o.customer_reference::json AS customer_reference, o.customer_reference_hash,
           h.generation, o.partition, o.seq
      FROM hold o JOIN partition_head h USING (partition);
GRANT SELECT ON read_v1.hold TO ota_reader;
