-- The ledger's entity tables (written with the events, ADR 5) and its read views.

CREATE TABLE pool (
    partition   smallint NOT NULL,
    pool_no     integer PRIMARY KEY,
    product_id  integer NOT NULL,
    channel     text NOT NULL,
    allotted    bigint NOT NULL,
    held        bigint NOT NULL,
    sold        bigint NOT NULL,
    selling     boolean NOT NULL,
    UNIQUE (product_id, channel),
    -- The last line against overselling: holds whatever the code above does.
    CONSTRAINT pool_never_oversold CHECK (held >= 0 AND sold >= 0 AND held + sold <= allotted)
) WITH (fillfactor = 50);

CREATE TABLE hold (
    partition                smallint NOT NULL,
    reservation_id           text PRIMARY KEY,
    pool_no                  integer NOT NULL,
    product_id               integer NOT NULL,
    channel                  text NOT NULL,
    partner_id               text NOT NULL,
    quantity                 integer NOT NULL CHECK (quantity BETWEEN 1 AND 100),
    status                   text NOT NULL CHECK (status IN ('held', 'sold', 'released')),
    held_at                  timestamptz NOT NULL,
    expires_at               timestamptz NOT NULL,
    prices                   json NOT NULL,
    visit_date               date,
    customer_reference       json,
    customer_reference_hash  text,
    seq                      bigint NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX hold_open ON hold (partition) WHERE status = 'held';

CREATE TABLE catalogue (
    partition     smallint NOT NULL,
    version       bigint PRIMARY KEY,
    document      json NOT NULL,
    published_at  timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON pool, hold, catalogue TO ota_inventory_app;

CREATE VIEW read_v1.catalogue AS
    SELECT version, published_at, document, version = max(version) OVER () AS current FROM catalogue;
CREATE VIEW read_v1.pool AS
    SELECT p.pool_no, p.product_id, p.channel, p.partition, p.allotted, p.held, p.sold,
           p.allotted - p.held - p.sold AS available, p.selling, h.generation, h.seq
      FROM pool p JOIN partition_head h USING (partition);
CREATE VIEW read_v1.hold AS
    SELECT o.reservation_id, o.pool_no, o.product_id, o.channel, o.partner_id, o.quantity, o.status,
           o.held_at, o.expires_at, o.prices, o.visit_date, o.customer_reference,
           o.customer_reference_hash, h.generation, o.partition, o.seq
      FROM hold o JOIN partition_head h USING (partition);
GRANT SELECT ON read_v1.catalogue, read_v1.pool, read_v1.hold TO ota_reader;
