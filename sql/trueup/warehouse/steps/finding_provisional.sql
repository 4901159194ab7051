-- Findings of what was not billed on days of which charges are known to be missing: the charge may only not have come.
-- Grain: one row per finding. Owner: warehouse.
WITH zone AS (
    SELECT coalesce((SELECT p.timezone FROM steps.policy_now p), getvariable('project_timezone')) AS name
),
lacking AS (
    SELECT
        CAST(timezone(z.name, f.started_at) AS DATE) AS first_day,
        CAST(timezone(z.name, coalesce(f.ended_at, f.started_at)) AS DATE) AS last_day
    FROM steps.finding_now f, zone z
    WHERE f.stands AND f.stream = 'charge' AND f.kind IN ('missing_records', 'stale_feed', 'volume_drop')
)
SELECT
    f.finding_id                                  -- 16 bytes
FROM steps.finding_now f
WHERE f.stands AND f.kind IN ('unbilled', 'underbilled')
    AND EXISTS (FROM lacking l WHERE f.day BETWEEN l.first_day AND l.last_day)
