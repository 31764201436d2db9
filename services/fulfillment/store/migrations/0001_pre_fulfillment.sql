-- The fulfillment service's entity tables (written with the events, ADR 5) and its read views.

CREATE TABLE customer_order (
    partition               smallint NOT NULL,
    order_id                text PRIMARY KEY,
    reservation_id          text NOT NULL UNIQUE,  -- one order for one reservation, ever
    pool_no                 integer NOT NULL,
    partner_id              text NOT NULL,
    product_id              integer NOT NULL,
    channel                 text NOT NULL,
    quantity                integer NOT NULL CHECK (quantity BETWEEN 1 AND 100),
    confirmation_code       text NOT NULL UNIQUE,
    visit_date              date,
    day_class               text NOT NULL,
    total_minor             bigint NOT NULL CHECK (total_minor >= 0),
    currency                text NOT NULL,
    rule_version            bigint NOT NULL,
    lines                   json NOT NULL,
    customer                json NOT NULL,
    payment_reference_hash  text NOT NULL,
    entitlements            json NOT NULL,
    status                  text NOT NULL CHECK (status = 'confirmed'),
    created_at              timestamptz NOT NULL
);
CREATE INDEX customer_order_of_partner ON customer_order (partner_id, created_at DESC, order_id DESC);
CREATE INDEX customer_order_by_payment ON customer_order (partner_id, payment_reference_hash);

CREATE TABLE ticket (
    partition      smallint NOT NULL,
    ticket_code    text PRIMARY KEY,
    order_id       text NOT NULL,
    position       smallint NOT NULL CHECK (position BETWEEN 0 AND 99),
    qr_token       text NOT NULL,
    customer_type  text NOT NULL,
    status         text NOT NULL CHECK (status IN ('ACTIVE', 'USED', 'CANCELLED')),
    UNIQUE (order_id, position)
) WITH (fillfactor = 90);

CREATE TABLE numbering (
    partition  smallint NOT NULL,
    name       text PRIMARY KEY,
    orders     bigint NOT NULL,
    tickets    bigint NOT NULL
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE ON customer_order, ticket, numbering TO ota_fulfillment_app;

CREATE VIEW read_v1.customer_order AS
    SELECT order_id, reservation_id, partition, pool_no, partner_id, product_id, channel, quantity,
           confirmation_code, visit_date, day_class, total_minor, currency, rule_version, lines,
           customer, payment_reference_hash, entitlements, status, created_at
      FROM customer_order;
CREATE VIEW read_v1.ticket AS
    SELECT ticket_code, order_id, position, qr_token, customer_type, status FROM ticket;
GRANT SELECT ON read_v1.customer_order, read_v1.ticket TO ota_reader;
