-- Rejected records whose id differs from the hash of unit and record number, or whose source or stream differs from the unit's.
-- Grain: one record. Owner: proof.
WITH units AS (
    SELECT c.source_id, any_value(c.source) AS source, any_value(c.stream) AS stream FROM lake.events.control AS c GROUP BY c.source_id
)
SELECT e.event_id, e.source_id, e.source_row,
    e.event_id IS DISTINCT FROM {event_id} AS bad_id,
    e.source AS stored_source, e.stream AS stored_stream, u.source, u.stream
FROM {rows} AS e
LEFT JOIN units AS u ON u.source_id = e.source_id
WHERE bad_id OR (u.source_id IS NOT NULL AND (e.source IS DISTINCT FROM u.source OR e.stream IS DISTINCT FROM u.stream))
