-- Provisional findings: a record of one side is missing on a day on which the feed of that side is known to be incomplete.
-- Grain: one row per finding. Owner: warehouse.
-- A dismissed finding about a feed does not count. A failed expectation with bounds marks its day as incomplete.
WITH zone AS (
    SELECT coalesce((SELECT p.timezone FROM steps.policy_now p), getvariable('project_timezone')) AS name
),
lacking AS (
    SELECT DISTINCT
        f.stream, f.service, CAST(timezone(z.name, f.started_at) AS DATE) AS first_day,
        CAST(timezone(z.name, greatest(f.started_at, f.ended_at - INTERVAL 1 MICROSECOND)) AS DATE) AS last_day
    FROM steps.finding_now f, zone z
    WHERE f.stands AND f.status <> 'dismissed' AND (
        f.kind IN ('missing_records', 'stale_feed', 'volume_drop') OR (f.kind = 'failed_expectation' AND f.records_high > 0)
    )
)
SELECT
    f.finding_id                                  -- 16 bytes
FROM steps.finding_now f
JOIN main.finding_kinds k ON k.kind = f.kind
WHERE f.stands AND EXISTS (
    FROM lacking l
    WHERE f.day BETWEEN l.first_day AND l.last_day AND l.service IN ('', f.service) AND l.stream = k.missing_side
)
