-- Subscriptions that network and billing tell differently: for how long, and what money is at stake meanwhile.
-- Grain: one row per such finding that still stands and is not dismissed, and currency of the money. Owner: warehouse.
-- The money is that of other findings of the subscription while it lasted; it is proven there and counted there, not here.
WITH seen AS (
    SELECT max(c.last_started_at) AS until
    FROM lake.events.control c
    WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
apart AS (
    SELECT f.*, coalesce(f.ended_at, greatest(s.until, f.started_at)) AS lasted_until
    FROM steps.finding_now f, seen s
    WHERE f.kind IN ('active_not_billed', 'billed_not_active', 'plan_mismatch') AND f.status IN ('open', 'confirmed')
)
SELECT
    lower(hex(a.finding_id)) AS finding_id,       -- as in findings
    a.kind,                                       -- active_not_billed, billed_not_active or plan_mismatch
    a.status,                                     -- open or confirmed
    a.subscriber,                                 -- whose subscription it is
    a.reason,                                     -- of a plan_mismatch: which plans
    a.started_at,                                 -- since when the systems differ, UTC
    a.ended_at,                                   -- when they agreed again; NULL while they do not
    CAST((epoch_us(a.lasted_until) - epoch_us(a.started_at)) / 86400000000 AS DECIMAL(18, 2)) AS days, -- so long; while it lasts, up to the latest record seen
    count(f.finding_id) AS findings,              -- other findings of the subscription that began meanwhile
    steps.micros_as_money(coalesce(sum(f.impact_micros), 0)) AS at_stake, -- their money: positive is leakage
    coalesce(f.currency, a.currency) AS currency  -- of that money
FROM apart a
LEFT JOIN steps.finding_now f
    ON f.subscriber = a.subscriber AND f.status IN ('open', 'confirmed') AND f.control IS NULL
    AND f.kind NOT IN ('active_not_billed', 'billed_not_active', 'plan_mismatch')
    AND f.started_at >= a.started_at AND f.started_at < coalesce(a.ended_at, f.started_at + INTERVAL 1 second)
GROUP BY ALL
ORDER BY abs(at_stake) DESC, a.started_at, a.subscriber
