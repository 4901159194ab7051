-- Runs of record numbers of one source without a gap, by node and commit. Grain: one run. Owner: quality.
-- In most commits the numbers of each node are one run, which needs no ordering. Only the other commits are ordered by number.
WITH numbered AS (
    SELECT
        coalesce(e.node, '') AS node, e.snapshot_id, epoch_us({own_time}) AS at_us,
        try_cast(regexp_extract(e.record_key, $pattern, $group) AS BIGINT) AS number
    FROM lake.events.{stream} AS e
    WHERE starts_with(e.source_id, $source || '@') AND e.day >= $first_day
        AND e.snapshot_id <= $reached
),
whole AS (
    SELECT
        n.node, n.snapshot_id, min(n.number) AS first, max(n.number) AS last, count(DISTINCT n.number) AS numbers,
        arg_min(n.at_us, n.number) AS first_us, arg_max(n.at_us, n.number) AS last_us
    FROM numbered AS n
    WHERE n.number IS NOT NULL AND n.at_us IS NOT NULL
    GROUP BY n.node, n.snapshot_id
),
ordered AS (
    SELECT
        n.node, n.snapshot_id, n.number, min(n.at_us) AS at_us,
        n.number - row_number() OVER (PARTITION BY n.node, n.snapshot_id ORDER BY n.number) AS island
    FROM numbered AS n
    JOIN whole AS w ON w.node = n.node AND w.snapshot_id = n.snapshot_id AND w.last - w.first + 1 <> w.numbers
    WHERE n.at_us IS NOT NULL
    GROUP BY n.node, n.snapshot_id, n.number
),
runs AS (
    SELECT w.node, w.snapshot_id, w.first, w.last, w.first_us, w.last_us FROM whole AS w WHERE w.last - w.first + 1 = w.numbers
    UNION ALL
    SELECT
        o.node, o.snapshot_id, min(o.number), max(o.number), arg_min(o.at_us, o.number), arg_max(o.at_us, o.number)
    FROM ordered AS o
    GROUP BY o.node, o.snapshot_id, o.island
)
SELECT '{stream}' AS stream, $source AS source, r.node, r.first, r.last, r.first_us, r.last_us, r.snapshot_id AS at_snapshot
FROM runs AS r
