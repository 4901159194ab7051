-- Rejected records whose id is not what unit and record number make. Grain: one record. Owner: proof.
SELECT e.event_id, e.source_id, e.source_row
FROM {rows} AS e
WHERE e.event_id IS DISTINCT FROM {event_id}
