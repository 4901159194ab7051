-- Times in which subscriptions of an account are active, in whole days, with the billing cycle in force.
-- Grain: one row per subscription and active state. Owner: warehouse.
-- States of billing count; a subscription that billing does not have follows the network's. A day with several states is of the last.
-- A subscription without an account is an account of its own.
WITH known AS (
    SELECT s.*
    FROM lake.events.subscriber s
    WHERE s.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    QUALIFY row_number() OVER (PARTITION BY s.system, s.subscriber, s.valid_from ORDER BY s.snapshot_id DESC, s.event_id DESC) = 1
),
chosen AS (
    SELECT
        k.*, lead(k.valid_from) OVER states AS next_from,
        last_value(k.timezone IGNORE NULLS) OVER (PARTITION BY k.subscriber ORDER BY k.valid_from ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS own_zone
    FROM known k
    WHERE k.system = 'billing' OR k.subscriber NOT IN (SELECT b.subscriber FROM known b WHERE b.system = 'billing')
    WINDOW states AS (PARTITION BY k.subscriber ORDER BY k.valid_from)
),
spans AS (
    SELECT
        c.subscriber, coalesce(c.account, c.subscriber) AS account, c.segment, c.status, c.valid_from,
        least(c.valid_to, c.next_from) AS valid_to, coalesce(c.cycle_day, 1) AS cycle_day,
        CAST(timezone(coalesce(c.own_zone, r.zone), c.valid_from) AS DATE) AS first_day,
        CAST(timezone(coalesce(c.own_zone, r.zone), least(c.valid_to, c.next_from) - INTERVAL 1 MICROSECOND) AS DATE) AS end_day
    FROM chosen c
    CROSS JOIN steps.invoice_rule r
),
active AS (
    SELECT
        s.*, lead(s.first_day) OVER actives AS next_day, lead(s.cycle_day) OVER actives AS next_cycle_day,
        lead(s.account) OVER actives AS next_account, lag(s.cycle_day) OVER actives AS former_cycle_day,
        lag(s.account) OVER actives AS former_account
    FROM spans s
    WHERE s.status = 'active'
    WINDOW actives AS (PARTITION BY s.subscriber ORDER BY s.valid_from)
)
SELECT
    a.subscriber,                                 -- the subscription
    a.account,                                    -- its account
    a.segment,                                    -- its customer segment
    a.cycle_day,                                  -- the day of the month on which its billing cycle begins
    a.valid_from,                                 -- begin of the state, UTC
    a.valid_to,                                   -- end of the state, UTC; NULL: until further notice
    a.first_day,                                  -- its first active day
    least(a.end_day, a.next_day - 1) AS last_day, -- its last active day; NULL: until further notice
    -- The days between which the cycle was in force: a change of cycle ends the running period.
    if(a.former_cycle_day <> a.cycle_day AND a.former_account = a.account, a.first_day, NULL) AS cycle_from_day,
    if(a.next_cycle_day <> a.cycle_day AND a.next_account = a.account, a.next_day, NULL) AS cycle_until_day
FROM active a
WHERE least(a.end_day, a.next_day - 1) IS NULL OR least(a.end_day, a.next_day - 1) >= a.first_day
