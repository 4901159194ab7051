-- Number of records of one source by node, destination, hour and commit. Records whose peer has no destination are left out.
-- Grain: one node, destination, hour and commit. Owner: quality.
WITH records AS (
    SELECT
        coalesce(e.node, '') AS node, regexp_extract(e.peer, $pattern, $group) AS destination,
        epoch_us({own_time}) // 3600000000 * 3600000000 AS hour_us, e.snapshot_id
    FROM lake.events.{stream} AS e
    WHERE starts_with(e.source_id, $source || '@') AND e.day >= $first_day
        AND e.snapshot_id <= $reached
)
SELECT '{stream}' AS stream, $source AS source, r.node, r.destination, r.hour_us, r.snapshot_id AS at_snapshot, count(*) AS records
FROM records AS r
WHERE r.hour_us IS NOT NULL AND r.destination <> ''
GROUP BY r.node, r.destination, r.hour_us, r.snapshot_id
