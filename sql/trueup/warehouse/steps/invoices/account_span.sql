-- Times in which subscriptions of an account are active, in whole days, with the billing cycle in force.
-- Grain: one row per subscription and active state. Owner: warehouse.
-- States of billing count. A subscription that is missing in billing has the states of the network. A day with several states
-- belongs to the last state of the day.
-- A subscription without an account counts as an account of its own.
WITH known AS (
    SELECT s.*
    FROM lake.events.subscriber s
    WHERE s.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    QUALIFY row_number() OVER (PARTITION BY s.system, s.subscriber, s.valid_from ORDER BY s.snapshot_id DESC, s.event_id DESC) = 1
),
chosen AS (
    SELECT
        k.*, lead(k.valid_from) OVER states AS next_from,
        last_value(steps.known_zone(k.timezone) IGNORE NULLS) OVER (PARTITION BY k.subscriber ORDER BY k.valid_from ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS own_zone
    FROM known k
    WHERE k.system = 'billing' OR k.subscriber NOT IN (SELECT b.subscriber FROM known b WHERE b.system = 'billing')
    WINDOW states AS (PARTITION BY k.subscriber ORDER BY k.valid_from)
),
spans AS (
    SELECT
        c.subscriber, coalesce(c.account, c.subscriber) AS account, c.segment, c.status, c.valid_from,
        least(c.valid_to, c.next_from) AS valid_to, coalesce(c.cycle_day, 1) AS cycle_day,
        coalesce(c.own_zone, r.zone) AS zone,
        CAST(timezone(coalesce(c.own_zone, r.zone), c.valid_from) AS DATE) AS first_day,
        CAST(timezone(coalesce(c.own_zone, r.zone), least(c.valid_to, c.next_from) - INTERVAL 1 MICROSECOND) AS DATE) AS end_day
    FROM chosen c
    CROSS JOIN steps.invoice_rule r
),
active AS (
    SELECT s.*, least(s.end_day, lead(s.first_day) OVER (PARTITION BY s.subscriber ORDER BY s.valid_from) - 1) AS last_day
    FROM spans s
    WHERE s.status = 'active'
),
linked AS (
    SELECT a.*, lag(a.cycle_day) OVER actives AS former_cycle_day, lag(a.account) OVER actives AS former_account
    FROM active a
    WHERE a.last_day IS NULL OR a.last_day >= a.first_day
    WINDOW actives AS (PARTITION BY a.subscriber ORDER BY a.valid_from)
),
-- A run is a sequence of states with one account and one cycle day. A change of account begins a new run, but ends no period.
runs AS MATERIALIZED (
    SELECT
        l.*, coalesce(l.former_account = l.account AND l.former_cycle_day <> l.cycle_day, FALSE) AS is_change,
        sum(CAST(l.former_account IS DISTINCT FROM l.account OR l.former_cycle_day IS DISTINCT FROM l.cycle_day AS INTEGER))
            OVER (PARTITION BY l.subscriber ORDER BY l.valid_from) AS run_no
    FROM linked l
)
SELECT
    r.subscriber,                                 -- the subscription
    r.account,                                    -- account of the subscription
    r.segment,                                    -- customer segment of the subscription
    r.zone,                                       -- time zone of the days: the subscription's own zone, else the project's
    r.cycle_day,                                  -- day of the month on which the billing cycle of the subscription begins
    r.valid_from,                                 -- begin of the state, UTC
    r.valid_to,                                   -- end of the state, UTC; NULL: until further notice
    r.first_day,                                  -- first active day
    r.last_day,                                   -- last active day; NULL: until further notice
    -- The days between which the cycle was in force. A change of cycle ends the current period.
    min(r.first_day) FILTER (r.is_change) OVER (PARTITION BY r.subscriber, r.run_no) AS cycle_from_day,
    n.first_day AS cycle_until_day
FROM runs r
LEFT JOIN runs n ON n.subscriber = r.subscriber AND n.run_no = r.run_no + 1 AND n.is_change
