-- Ticks of the injected clock and closings, each with the position of the declaration. Grain: one declaration. Owner: quality.
WITH superseding AS (
    SELECT CAST(d.content ->> '$.supersedes' AS BIGINT) AS position, min(p.position) AS superseded_at
    FROM lake.events.declaration AS d
    JOIN lake.events.position AS p ON p.snapshot_id = d.snapshot_id
    WHERE d.kind = 'clock' AND d.content IS NOT NULL AND p.position <= $upto
    GROUP BY ALL
)
SELECT
    d.kind, d.source, epoch_us(d.through) AS through_us, p.position,
    s.superseded_at                               -- the position from which the tick is void; NULL while the tick is in force
FROM lake.events.declaration AS d
JOIN lake.events.position AS p ON p.snapshot_id = d.snapshot_id
LEFT JOIN superseding AS s ON s.position = p.position
WHERE d.kind IN ('tick', 'close') AND p.position <= $upto
