-- Ticks that were superseded, with the records refused for their time while they were in force.
-- Grain: one superseded tick. A record refused under several ticks counts for the first.
WITH ticks AS (
    SELECT p.position, d.through
    FROM lake.events.declaration d
    JOIN lake.events.position p ON p.snapshot_id = d.snapshot_id
    WHERE d.kind = 'tick' AND d.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
superseding AS (
    SELECT CAST(d.content ->> '$.supersedes' AS BIGINT) AS position, min(p.position) AS superseded_at
    FROM lake.events.declaration d
    JOIN lake.events.position p ON p.snapshot_id = d.snapshot_id
    WHERE
        d.kind = 'clock' AND d.content IS NOT NULL
        AND d.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY ALL
),
superseded AS (
    SELECT
        t.position, t.through, s.superseded_at,
        coalesce((
            SELECT max(before.position)
            FROM ticks before
            WHERE before.position < t.position AND before.position NOT IN (SELECT position FROM superseding)
        ), 0) AS after_position
    FROM ticks t
    JOIN superseding s ON s.position = t.position
),
refused AS (
    SELECT q.event_id, min(s.position) AS position
    FROM lake.events.quarantine q
    JOIN lake.events.position p ON p.snapshot_id = q.snapshot_id
    JOIN superseded s ON p.position > s.after_position AND p.position < s.superseded_at
    WHERE q.reason = 'time_out_of_range'
    GROUP BY q.event_id
)
SELECT
    s.position,                                   -- the tick
    s.through,                                    -- the time it declared
    s.superseded_at,                              -- the position it is void from
    s.after_position,                             -- the last tick before it that is in force, 0 where there is none
    count(r.event_id) AS refused_records          -- records refused while it was in force
FROM superseded s
LEFT JOIN refused r ON r.position = s.position
GROUP BY ALL
ORDER BY s.position
