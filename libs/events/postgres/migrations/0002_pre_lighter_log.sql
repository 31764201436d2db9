-- The same log for less work on each event (docs/performance.md has the figures).
-- JSON is kept as text: what is stored was made by our own encoder and is covered by the hash, so the
-- server need not read every character again. The view shows it as JSON, as before.
-- Events are looked up by what they are about, never in an order of it: a hash index does, for a third of the work.
-- Rewrites both tables under an exclusive lock.

DROP VIEW read_v1.event;
ALTER TABLE event ALTER COLUMN meta TYPE text, ALTER COLUMN data TYPE text;
ALTER TABLE recorded_answer ALTER COLUMN answer TYPE text;

CREATE VIEW read_v1.event AS
    SELECT partition, generation, seq, epoch, type, version, subject, decided_at,
           meta::json AS meta, data::json AS data, previous_hash, hash
      FROM event;
GRANT SELECT ON read_v1.event TO ota_reader;

DROP INDEX event_by_subject;
CREATE INDEX event_by_subject ON event USING hash (subject);
