-- Subscriptions on which network and billing differ, with the duration and the money at stake in that time.
-- Grain: one row per open or confirmed finding of this kind, and currency of the money. Owner: warehouse.
-- The money belongs to other findings of the subscription in that time. The leakage views count it in those findings, not here.
WITH newest AS (
    SELECT max(c.last_started_at) AS until
    FROM lake.events.control c
    WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
current AS MATERIALIZED (
    SELECT
        f.finding_id, f.kind, f.status, f.subscriber, f.reason, f.started_at, f.ended_at, f.control, f.impact_micros, f.currency
    FROM steps.finding_now f
    WHERE f.status IN ('open', 'confirmed')
),
disagreements AS (
    SELECT f.*, coalesce(f.ended_at, greatest(s.until, f.started_at)) AS lasted_until
    FROM current f, newest s
    WHERE f.kind IN ('active_not_billed', 'billed_not_active', 'plan_mismatch')
)
SELECT
    lower(hex(a.finding_id)) AS finding_id,       -- as in findings
    a.kind,                                       -- active_not_billed, billed_not_active or plan_mismatch
    a.status,                                     -- open or confirmed
    a.subscriber,                                 -- the subscription
    a.reason,                                     -- of a plan_mismatch: the two plans
    a.started_at,                                 -- the time from which the systems differ, UTC
    a.ended_at,                                   -- when the systems agreed again; NULL while they differ
    CAST((epoch_us(a.lasted_until) - epoch_us(a.started_at)) / 86400000000 AS DECIMAL(18, 2)) AS days, -- duration of the difference; while it lasts, up to the newest record
    count(f.finding_id) AS findings,              -- number of other findings of the subscription that began in that time
    steps.micros_as_money(coalesce(sum(f.impact_micros), 0)) AS at_stake, -- money of the other findings: positive is leakage
    coalesce(f.currency, a.currency) AS currency  -- currency of at_stake
FROM disagreements a
LEFT JOIN current f
    ON f.subscriber = a.subscriber AND f.control IS NULL
    AND f.kind NOT IN ('active_not_billed', 'billed_not_active', 'plan_mismatch')
    AND f.started_at >= a.started_at AND f.started_at < coalesce(a.ended_at, f.started_at + INTERVAL 1 second)
GROUP BY ALL
ORDER BY abs(at_stake) DESC, a.started_at, a.subscriber
