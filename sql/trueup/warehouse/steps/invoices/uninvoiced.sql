-- Charges that are on no known invoice, by account and the period whose invoice they are for.
-- Grain: one row per account, period, currency and named invoice. Owner: warehouse.
-- A charge without an account is of the account that its subscription had. Its day is that of the zone of its subscription, as those
-- of the account's periods are. Without a period of the account its calendar month counts.
-- Where no charge names an invoice, none is looked for.
WITH rule AS MATERIALIZED (
    SELECT r.* FROM steps.invoice_rule r
),
loose AS (
    SELECT c.*, r.zone AS project_zone, r.grace, r.invoices_until
    FROM steps.invoice_charge c
    CROSS JOIN rule r
    WHERE
        r.has_lines AND r.invoices_until IS NOT NULL AND c.amount_micros <> 0
        AND (c.invoice_id IS NULL OR c.invoice_id NOT IN (SELECT d.number FROM steps.invoice_document d))
),
owned AS (
    SELECT
        l.*, coalesce(l.account, s.account) AS owner, s.segment, coalesce(s.zone, l.project_zone) AS zone,
        CAST(timezone(coalesce(s.zone, l.project_zone), l.charged_at) AS DATE) AS day
    FROM loose l
    ASOF LEFT JOIN steps.account_span s ON s.subscriber = l.subscriber AND s.valid_from <= l.charged_at
),
-- Subscriptions of one account may have several cycles: a charge is of the period that began last, of equal ones of the longest.
begun AS (
    SELECT p.account, p.period_from, max(p.period_to) AS period_to FROM steps.account_period p GROUP BY p.account, p.period_from
),
timed AS (
    SELECT
        o.*,
        if(o.day < p.period_to, p.period_from, CAST(date_trunc('month', o.day) AS DATE)) AS from_day,
        if(o.day < p.period_to, p.period_to, CAST(date_trunc('month', o.day) + INTERVAL 1 MONTH AS DATE)) AS to_day
    FROM owned o
    ASOF LEFT JOIN begun p ON p.account = o.owner AND p.period_from <= o.day
    WHERE NOT coalesce(list_contains((SELECT r.except_segments FROM rule r), o.segment), FALSE)
)
SELECT
    t.owner AS account,                           -- NULL: neither the charge nor a state names one
    t.invoice_id AS number,                       -- the invoice that the charges name; NULL: none
    t.from_day AS period_from,                    -- first day of the period
    t.to_day AS period_to,                        -- the day after its last one
    t.currency,                                   -- of the charges
    sum(t.amount_micros) AS amount_micros,        -- their sum in millionths
    count(*) AS charges,                          -- their number
    bool_and(t.to_day IS NULL OR timezone(t.zone, CAST(t.to_day AS TIMESTAMP)) + t.grace <= t.invoices_until) AS is_due -- whether the feed of invoices has passed the due time
FROM timed t
WHERE t.to_day IS NULL OR t.to_day >= (SELECT min(d.last_day) + 1 FROM steps.invoice_document d WHERE NOT d.is_credit)
GROUP BY t.owner, t.invoice_id, t.from_day, t.to_day, t.currency
