-- Lists that cost the same however many holds a partner has, and less work on each hold.
-- Rewrites the table under an exclusive lock.

-- JSON as text, as in the log (its 0002).
DROP VIEW read_v1.reservation;
ALTER TABLE reservation ALTER COLUMN prices TYPE text, ALTER COLUMN customer_reference TYPE text;
CREATE VIEW read_v1.reservation AS
    SELECT reservation_id, partition, pool_no, product_id, channel, partner_id, quantity, status,
           held_at, expires_at, prices::json AS prices, visit_date,
           customer_reference::json AS customer_reference, customer_reference_hash,
           order_id, ended_at
      FROM reservation;
GRANT SELECT ON read_v1.reservation TO ota_reader;

-- A row has an entry in one of two lists, open or ended; together they are all. Entries are added
-- at an index's end, and those of one moment share one.
DROP INDEX reservation_of_partner;
DROP INDEX reservation_of_partner_open;
CREATE INDEX reservation_of_partner_open ON reservation (partner_id, held_at) WHERE status = 'active';
CREATE INDEX reservation_of_partner_ended ON reservation (partner_id, held_at) WHERE status <> 'active';

CREATE TABLE reservation_count (
    partner_id    text NOT NULL,
    product_id    integer NOT NULL,
    status        text NOT NULL,
    partition     smallint NOT NULL,
    reservations  bigint NOT NULL CHECK (reservations >= 0),
    PRIMARY KEY (partner_id, product_id, status, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE reservation_count IS
    'How many rows of reservation are alike: the totals of lists. Kept by triggers, once a statement; no role may change it.';

CREATE FUNCTION count_reservations() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO public.reservation_count AS c
        SELECT partner_id, product_id, status, partition, count(*) FROM added GROUP BY 1, 2, 3, 4
            ON CONFLICT (partner_id, product_id, status, partition)
            DO UPDATE SET reservations = c.reservations + excluded.reservations;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        UPDATE public.reservation_count AS c SET reservations = c.reservations - gone.reservations
          FROM (SELECT partner_id, product_id, status, partition, count(*) AS reservations
                  FROM removed GROUP BY 1, 2, 3, 4) AS gone
         WHERE (c.partner_id, c.product_id, c.status, c.partition)
             = (gone.partner_id, gone.product_id, gone.status, gone.partition);
    ELSIF TG_OP = 'TRUNCATE' THEN
        DELETE FROM public.reservation_count;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION count_reservations FROM PUBLIC;
CREATE TRIGGER counted_when_added AFTER INSERT ON reservation REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_reservations();
CREATE TRIGGER counted_when_changed AFTER UPDATE ON reservation
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_reservations();
CREATE TRIGGER counted_when_deleted AFTER DELETE ON reservation REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_reservations();
CREATE TRIGGER counted_when_emptied AFTER TRUNCATE ON reservation
    FOR EACH STATEMENT EXECUTE FUNCTION count_reservations();

INSERT INTO reservation_count
SELECT partner_id, product_id, status, partition, count(*) FROM reservation GROUP BY 1, 2, 3, 4;

CREATE VIEW read_v1.reservation_count AS
    SELECT partner_id, product_id, status, partition, reservations FROM reservation_count;
GRANT SELECT ON read_v1.reservation_count TO ota_reader;
