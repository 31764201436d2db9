-- JSON as text, as in the log (its 0002). Rewrites the tables under an exclusive lock.

DROP VIEW read_v1.catalogue, read_v1.hold;
ALTER TABLE hold ALTER COLUMN prices TYPE text, ALTER COLUMN customer_reference TYPE text;
ALTER TABLE catalogue ALTER COLUMN document TYPE text;

CREATE VIEW read_v1.catalogue AS
    SELECT version, published_at, document::json AS document,
           version = max(version) OVER () AS current FROM catalogue;
CREATE VIEW read_v1.hold AS
    SELECT o.reservation_id, o.pool_no, o.product_id, o.channel, o.partner_id, o.quantity, o.status,
           o.held_at, o.expires_at, o.prices::json AS prices, o.visit_date,
           o.customer_reference::json AS customer_reference, o.customer_reference_hash,
           h.generation, o.partition, o.seq
      FROM hold o JOIN partition_head h USING (partition);
GRANT SELECT ON read_v1.catalogue, read_v1.hold TO ota_reader;
