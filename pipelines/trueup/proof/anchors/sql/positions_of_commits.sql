-- First and last position of the given commits, and the last position up to these commits. Grain: one row. Owner: proof.
SELECT
    min(position) FILTER (WHERE snapshot_id BETWEEN $low AND $high) AS first_position,
    max(position) FILTER (WHERE snapshot_id BETWEEN $low AND $high) AS last_position,
    coalesce(max(position) FILTER (WHERE snapshot_id <= $high), 0) AS position_before
FROM lake.events.position
