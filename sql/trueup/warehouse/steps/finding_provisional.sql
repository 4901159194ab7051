-- Findings of what one side lacks on days of which that side is known not to be whole: its records may only not have come.
-- Grain: one row per finding. Owner: warehouse.
-- What a person has dismissed is whole enough. A failed expectation with bounds is one that puts its day in doubt.
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
