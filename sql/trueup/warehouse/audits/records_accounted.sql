-- Every record of a source unit is accounted for: records = accepted + duplicate + filtered + quarantined.
-- A row: a part of a unit whose counts do not add up.
SELECT c.source, c.source_id, c.part_no, c.records, c.accepted, c.duplicate, c.filtered, c.quarantined
FROM lake.events.control c
WHERE c.records IS DISTINCT FROM c.accepted + c.duplicate + coalesce(c.filtered, 0) + c.quarantined
