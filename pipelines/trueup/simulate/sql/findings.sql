-- The latest revision of each finding up to a position, and the position at which it was last raised.
-- Grain: one row per finding ever raised by reconciliation. Owner: simulate.
-- Findings about feeds are left out: they give a range of money, which cannot be compared with a leak to the millionth.
WITH changes AS (
    SELECT
        f.*,
        max(f.position) FILTER (WHERE f.action = 'raised') OVER (PARTITION BY f.finding_id) AS raised_position,
        row_number() OVER (PARTITION BY f.finding_id ORDER BY f.position DESC) AS age
    FROM lake.events.finding f
    WHERE f.position <= $position AND f.control IS NULL
)
SELECT
    lower(hex(c.finding_id)) AS finding_id,
    c.kind,
    CASE WHEN c.action IN ('raised', 'revised') THEN 'open' ELSE c.action END AS status,
    coalesce(c.service, '') AS service,
    c.day,
    c.currency,
    c.expected_micros - c.billed_micros AS impact_micros,
    c.raised_position,
    c.reason,
    c.subscriber,
    c.item,
    c.period_from,
    c.usage_event_ids,
    c.charge_event_ids
FROM changes c
WHERE c.age = 1
ORDER BY c.finding_id
