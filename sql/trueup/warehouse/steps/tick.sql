-- Every tick of the clock up to the requested position, and the position from which the tick is void.
-- Grain: one row per tick. Owner: warehouse.
WITH superseding AS (
    SELECT CAST(d.content ->> '$.supersedes' AS BIGINT) AS position, min(p.position) AS superseded_at
    FROM lake.events.declaration d
    JOIN lake.events.position p ON p.snapshot_id = d.snapshot_id
    WHERE
        d.kind = 'clock' AND d.content IS NOT NULL
        AND d.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY ALL
)
SELECT
    p.position,                                   -- the position of the declaration
    d.through,                                    -- the time that the tick declared
    s.superseded_at                               -- the position from which the tick is void; NULL while the tick is in force
FROM lake.events.declaration d
JOIN lake.events.position p ON p.snapshot_id = d.snapshot_id
LEFT JOIN superseding s ON s.position = p.position
WHERE d.kind = 'tick' AND d.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
