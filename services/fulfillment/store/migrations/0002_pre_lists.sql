-- Lists that cost the same however many orders a partner has, and less work on each order.
-- Rewrites the table under an exclusive lock.

-- JSON as text, as in the log (its 0002).
DROP VIEW read_v1.customer_order;
ALTER TABLE customer_order
    ALTER COLUMN lines TYPE text, ALTER COLUMN customer TYPE text, ALTER COLUMN entitlements TYPE text;
CREATE VIEW read_v1.customer_order AS
    SELECT order_id, reservation_id, partition, pool_no, partner_id, product_id, channel, quantity,
           confirmation_code, visit_date, day_class, total_minor, currency, rule_version,
           lines::json AS lines, customer::json AS customer, payment_reference_hash,
           entitlements::json AS entitlements, status, created_at
      FROM customer_order;
GRANT SELECT ON read_v1.customer_order TO ota_reader;

-- Entries are added at the index's end, and those of one moment share one.
DROP INDEX customer_order_of_partner;
CREATE INDEX customer_order_of_partner ON customer_order (partner_id, created_at);

CREATE TABLE order_count (
    partner_id  text NOT NULL,
    product_id  integer NOT NULL,
    partition   smallint NOT NULL,
    orders      bigint NOT NULL,
    PRIMARY KEY (partner_id, product_id, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE order_count IS
    'How many orders are alike: the totals of lists. Kept by triggers, once a statement; no role may change it. What tells orders apart never changes in one.';

CREATE FUNCTION count_orders() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO public.order_count AS c
        SELECT partner_id, product_id, partition, count(*) FROM added GROUP BY 1, 2, 3
            ON CONFLICT (partner_id, product_id, partition)
            DO UPDATE SET orders = c.orders + excluded.orders;
    ELSIF TG_OP = 'DELETE' THEN
        UPDATE public.order_count AS c SET orders = c.orders - gone.orders
          FROM (SELECT partner_id, product_id, partition, count(*) AS orders
                  FROM removed GROUP BY 1, 2, 3) AS gone
         WHERE (c.partner_id, c.product_id, c.partition)
             = (gone.partner_id, gone.product_id, gone.partition);
    ELSE
        DELETE FROM public.order_count;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION count_orders FROM PUBLIC;
CREATE TRIGGER counted_when_added AFTER INSERT ON customer_order REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_orders();
CREATE TRIGGER counted_when_deleted AFTER DELETE ON customer_order REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_orders();
CREATE TRIGGER counted_when_emptied AFTER TRUNCATE ON customer_order
    FOR EACH STATEMENT EXECUTE FUNCTION count_orders();

INSERT INTO order_count
SELECT partner_id, product_id, partition, count(*) FROM customer_order GROUP BY 1, 2, 3;

CREATE VIEW read_v1.order_count AS SELECT partner_id, product_id, partition, orders FROM order_count;
GRANT SELECT ON read_v1.order_count TO ota_reader;
