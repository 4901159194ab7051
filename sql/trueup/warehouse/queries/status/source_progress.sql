-- Number of ingested units and records of each source, and the time up to which the source was declared complete.
-- Grain: one row per source with a unit or a closing.
WITH ingested AS (
    SELECT
        f.source, any_value(f.stream) AS stream, count(*) FILTER (f.recycles IS NULL) AS units,
        coalesce(sum(f.records) FILTER (f.recycles IS NULL), 0) AS records, sum(f.accepted) AS accepted,
        sum(f.duplicate) AS duplicate, sum(f.filtered) AS filtered,
        -- A record that was mapped again leaves quarantine and counts by its new outcome.
        sum(f.quarantined) - coalesce(sum(f.records) FILTER (f.recycles IS NOT NULL), 0) AS quarantined,
        sum(f.lost_digits) AS lost_digits,
        min(f.first_time) AS first_time, max(f.last_time) AS last_time, max(f.taken_at) AS last_taken_at
    FROM main.source_units f
    GROUP BY f.source
),
newest AS (
    SELECT c.source, max(c.last_started_at) AS last_started_at
    FROM lake.events.control c
    WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY c.source
),
closed AS (
    SELECT d.source, max(d.through) AS closed_through
    FROM lake.events.declaration d
    WHERE d.kind = 'close' AND d.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY d.source
)
SELECT
    coalesce(b.source, c.source) AS source, b.stream, coalesce(b.units, 0) AS units, coalesce(b.records, 0) AS records,
    coalesce(b.accepted, 0) AS accepted, coalesce(b.duplicate, 0) AS duplicate, coalesce(b.filtered, 0) AS filtered,
    coalesce(b.quarantined, 0) AS quarantined,
    coalesce(b.lost_digits, 0) AS lost_digits, b.first_time, b.last_time, s.last_started_at, c.closed_through, b.last_taken_at
FROM ingested b
FULL JOIN closed c ON c.source = b.source
LEFT JOIN newest s ON s.source = b.source
ORDER BY source
