-- A row of the audit trail had an entry at a random place of a B-tree for each id that it names.
-- Ids are now found by one index of block ranges: a Bloom filter says for 32 pages of rows whether an id may
-- be among them. It is made when such a range is full, so that adding a row costs next to nothing; a search
-- reads the filters, the few ranges that may have the id, and the newest rows, which have no filter yet.

DROP INDEX audit_by_request;
DROP INDEX audit_by_reservation;
DROP INDEX audit_by_order;
CREATE INDEX audit_by_id ON audit USING brin (
    request_id text_bloom_ops (n_distinct_per_range = 1500),
    reservation_id text_bloom_ops (n_distinct_per_range = 1500),
    order_id text_bloom_ops (n_distinct_per_range = 1500)
) WITH (pages_per_range = 32, autosummarize = on);

-- Vacuum comes by for full ranges, but not only once a fifth of the table is new.
ALTER TABLE audit SET (autovacuum_vacuum_insert_scale_factor = 0.05);
