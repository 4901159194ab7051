-- The nodes of a feed that sent records on the days before a given day, as of a position. Grain: one node and UTC day.
-- Owner: quality.
SELECT DISTINCT u.day, u.node
FROM lake.events.usage AS u
WHERE u.day >= $first AND u.day < $before AND starts_with(u.source_id, $source || '@') AND u.snapshot_id <= $snapshot_id
    AND u.node IS NOT NULL
ORDER BY u.node, u.day
