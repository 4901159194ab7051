-- Number of records of each node of a feed by day, and the findings about the node.
-- Grain: one row per feed, node and day. Owner: workbench.
WITH by_day AS (
    SELECT
        concat_ws(' ', q.source, nullif(q.node, '')) AS source, CAST(timezone($zone, q.hour) AS DATE) AS day, sum(q.records) AS records,
        max(q.findings) AS findings, arg_max(q.kind, q.findings) AS kind, arg_max_null(q.reason, q.findings) AS reason
    FROM feed_quality q
    WHERE $source = '' OR q.source = $source
    GROUP BY ALL
)
SELECT
    d.source, d.day, CAST(d.records AS BIGINT) AS records, CAST(d.findings AS BIGINT) AS findings, d.kind, d.reason,
    quantile_cont(d.records, 0.75) OVER (PARTITION BY d.source) AS usual
FROM by_day d
QUALIFY d.day > (SELECT max(b.day) FROM by_day b) - 31
ORDER BY d.source, d.day
