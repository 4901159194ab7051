-- Superseded ticks, each with the number of records that were refused for their time while the tick was in force.
-- Grain: one superseded tick. A record refused under several ticks counts for the first tick.
WITH superseded AS (
    SELECT
        t.position, t.through, t.superseded_at,
        coalesce((
            SELECT max(before.position) FROM steps.tick before WHERE before.position < t.position AND before.superseded_at IS NULL
        ), 0) AS after_position
    FROM steps.tick t
    WHERE t.superseded_at IS NOT NULL
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
    s.position,                                   -- the position of the tick
    s.through,                                    -- the time that the tick declared
    s.superseded_at,                              -- the position from which the tick is void
    s.after_position,                             -- the position of the last tick before it that is in force; 0 where there is none
    count(r.event_id) AS refused_records          -- number of records refused while the tick was in force
FROM superseded s
LEFT JOIN refused r ON r.position = s.position
GROUP BY ALL
ORDER BY s.position
