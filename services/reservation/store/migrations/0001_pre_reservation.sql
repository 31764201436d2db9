-- The reservation service's entity tables (written with the events, ADR 5) and its read views.
-- The table of open reservations is also the table of deadlines.

CREATE TABLE reservation (
    partition                smallint NOT NULL,
    reservation_id           text PRIMARY KEY,
    pool_no                  integer NOT NULL,
    product_id               integer NOT NULL,
    channel                  text NOT NULL,
    partner_id               text NOT NULL,
    quantity                 integer NOT NULL CHECK (quantity BETWEEN 1 AND 100),
    status                   text NOT NULL CHECK (status IN ('active', 'activated', 'cancelled', 'expired')),
    held_at                  timestamptz NOT NULL,
    expires_at               timestamptz NOT NULL,
    prices                   json NOT NULL,
    visit_date               date,
    customer_reference       json,
    customer_reference_hash  text,
    ledger_seq               bigint NOT NULL,
    order_id                 text,
    ended_at                 timestamptz,
    ended_by                 text,
    UNIQUE (partition, ledger_seq),
    CHECK ((status = 'active') = (ended_at IS NULL)),
    CHECK ((status = 'activated') = (order_id IS NOT NULL))
) WITH (fillfactor = 90);
CREATE INDEX reservation_open ON reservation (partition) WHERE status = 'active';
CREATE UNIQUE INDEX reservation_of_order ON reservation (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX reservation_of_partner ON reservation (partner_id, held_at DESC, reservation_id DESC);
CREATE INDEX reservation_of_partner_open ON reservation (partner_id, held_at DESC, reservation_id DESC)
    WHERE status = 'active';
CREATE INDEX reservation_by_reference ON reservation (partner_id, customer_reference_hash)
    WHERE customer_reference_hash IS NOT NULL;

CREATE TABLE numbering (
    partition  smallint NOT NULL,
    name       text PRIMARY KEY,
    orders     bigint NOT NULL
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE ON reservation, numbering TO ota_reservation_app;

CREATE VIEW read_v1.reservation AS
    SELECT reservation_id, partition, pool_no, product_id, channel, partner_id, quantity, status,
           held_at, expires_at, prices, visit_date, customer_reference, customer_reference_hash,
           order_id, ended_at
      FROM reservation;
CREATE OR REPLACE VIEW read_v1.progress AS
    SELECT partition, generation, seq, decided_at, inputs,
           coalesce((inputs -> 'ota.inventory.events.v1' ->> 'generation')::integer, 0) AS inventory_generation,
           coalesce((inputs -> 'ota.inventory.events.v1' ->> 'seq')::bigint, 0) AS inventory_seq
      FROM partition_head;
GRANT SELECT ON read_v1.reservation TO ota_reader;
