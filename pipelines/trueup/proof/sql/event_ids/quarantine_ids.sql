-- Rejected records whose id differs from the hash of unit and record number. Grain: one record. Owner: proof.
SELECT e.event_id, e.source_id, e.source_row
FROM {rows} AS e
WHERE e.event_id IS DISTINCT FROM {event_id}
