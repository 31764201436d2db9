-- Caps on what a partner may hold of a pool at once. Few rows; those of lifted caps stay, with units NULL.

CREATE TABLE partner_cap (
    partition   smallint NOT NULL,
    name        text PRIMARY KEY,
    pool_no     integer NOT NULL,
    partner_id  text NOT NULL,
    units       bigint CHECK (units >= 0),
    held        bigint NOT NULL CHECK (held >= 0),
    UNIQUE (pool_no, partner_id),
    CHECK (units IS NOT NULL OR held = 0)
) WITH (fillfactor = 50);
COMMENT ON COLUMN partner_cap.held IS 'Units of the partner''s open holds, counted while there is a cap; may be above a cap that was set later.';

GRANT SELECT, INSERT, UPDATE ON partner_cap TO ota_inventory_app;

CREATE VIEW read_v1.partner_cap AS
    SELECT c.pool_no, c.partner_id, c.partition, c.units, c.held, h.generation, h.seq
      FROM partner_cap c JOIN partition_head h USING (partition) WHERE c.units IS NOT NULL;
GRANT SELECT ON read_v1.partner_cap TO ota_reader;
