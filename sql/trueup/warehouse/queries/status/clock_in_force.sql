-- The newest time that a tick in force declared at the requested position. Grain: one row, NULL without a tick.
WITH superseded AS (
    SELECT CAST(d.content ->> '$.supersedes' AS BIGINT) AS position
    FROM lake.events.declaration d
    WHERE
        d.kind = 'clock' AND d.content IS NOT NULL
        AND d.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
)
SELECT max(d.through) AS clock
FROM lake.events.declaration d
JOIN lake.events.position p ON p.snapshot_id = d.snapshot_id
WHERE
    d.kind = 'tick' AND d.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    AND p.position NOT IN (SELECT s.position FROM superseded s)
