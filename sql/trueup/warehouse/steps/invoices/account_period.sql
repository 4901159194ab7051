-- Periods in which an account was active, up to the day that the feed of invoices has reached, with the invoice that bills each
-- period.
-- Grain: one row per account and period. Owner: warehouse.
-- An invoice bills a period if the invoice's own period contains the first active day of the period. No invoice is expected for
-- periods before the first invoiced one, or for segments without invoices.
WITH rule AS MATERIALIZED (
    SELECT r.*, CAST(timezone(r.zone, r.invoices_until) AS DATE) AS until_day FROM steps.invoice_rule r
),
documents AS MATERIALIZED (
    SELECT d.number, d.account, d.first_day, d.last_day, d.billed_at FROM steps.invoice_document d WHERE NOT d.is_credit AND NOT d.is_replaced
),
began AS (
    SELECT min(d.last_day) + 1 AS first_end_day FROM documents d
),
spans AS (
    SELECT s.*, least(coalesce(s.last_day, r.until_day), r.until_day) AS known_day
    FROM steps.account_span s
    CROSS JOIN rule r
    WHERE s.first_day <= r.until_day AND NOT coalesce(list_contains(r.except_segments, s.segment), FALSE)
),
cycles AS (
    SELECT
        s.*,
        unnest(generate_series(steps.cycle_number(s.first_day, s.cycle_day), steps.cycle_number(s.known_day, s.cycle_day))) AS number
    FROM spans s
),
bounded AS (
    SELECT
        c.account, c.subscriber, greatest(c.first_day, steps.cycle_begin_day(c.number, c.cycle_day)) AS active_day,
        greatest(steps.cycle_begin_day(c.number, c.cycle_day), coalesce(c.cycle_from_day, DATE '0001-01-01')) AS period_from,
        least(steps.cycle_begin_day(c.number + 1, c.cycle_day), coalesce(c.cycle_until_day, DATE '9999-12-31')) AS period_to
    FROM cycles c
),
pieces AS (
    SELECT b.account, b.period_from, b.period_to, min(b.active_day) AS first_active_day, count(DISTINCT b.subscriber) AS subscriptions
    FROM bounded b
    GROUP BY b.account, b.period_from, b.period_to
),
billing AS (
    SELECT p.account, p.period_from, p.period_to, arg_min(d.number, (d.billed_at, d.number)) AS invoice
    FROM pieces p
    JOIN documents d ON d.account = p.account AND d.first_day <= p.first_active_day AND p.first_active_day <= d.last_day
    GROUP BY p.account, p.period_from, p.period_to
)
SELECT
    p.account,                                    -- the account
    p.period_from,                                -- first day of the period
    p.period_to,                                  -- the day after the last day of the period
    p.first_active_day,                           -- first day of the period with an active subscription
    p.subscriptions,                              -- number of active subscriptions
    b.invoice,                                    -- number of the invoice that bills the period; NULL: none yet
    timezone(r.zone, CAST(p.period_to AS TIMESTAMP)) + r.grace AS due_at, -- when the invoice must have been issued, UTC
    coalesce(timezone(r.zone, CAST(p.period_to AS TIMESTAMP)) + r.grace <= r.invoices_until, FALSE) AS is_due -- whether the feed of invoices has passed due_at
FROM pieces p
CROSS JOIN rule r
CROSS JOIN began e
LEFT JOIN billing b ON b.account = p.account AND b.period_from = p.period_from AND b.period_to = p.period_to
WHERE p.period_to >= e.first_end_day
