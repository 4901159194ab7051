-- Charges on no known invoice, by account and by the period whose invoice should have them.
-- Grain: one row per account, period, currency and named invoice. Owner: warehouse.
-- A charge without an account belongs to the account of its subscription at the time. The day of the charge, like the days of the
-- periods, is in the time zone of the subscription. Without a period of the account, the calendar month counts.
-- If no charge names an invoice, no charge is expected to.
WITH rule AS MATERIALIZED (
    SELECT r.* FROM steps.invoice_rule r
),
documents AS MATERIALIZED (
    FROM steps.invoice_document
),
spans AS MATERIALIZED (
    FROM steps.account_span
),
loose AS (
    SELECT c.*, r.zone AS project_zone, r.grace, r.invoices_until
    FROM steps.invoice_charge c
    CROSS JOIN rule r
    WHERE
        r.has_lines AND r.invoices_until IS NOT NULL AND c.amount_micros <> 0
        AND (c.invoice_id IS NULL OR c.invoice_id NOT IN (SELECT d.number FROM documents d))
),
-- A charge may be for a time before the subscription began. The first state of the subscription then counts.
earliest AS (
    SELECT s.subscriber, arg_min(struct_pack(account := s.account, segment := s.segment, zone := s.zone), s.valid_from) AS state
    FROM spans s
    GROUP BY s.subscriber
),
known AS (
    SELECT
        l.*, coalesce(l.account, s.account, e.state.account) AS owner, if(s.subscriber IS NULL, e.state.segment, s.segment) AS segment,
        coalesce(s.zone, e.state.zone, l.project_zone) AS zone
    FROM loose l
    ASOF LEFT JOIN spans s ON s.subscriber = l.subscriber AND s.valid_from <= l.charged_at
    LEFT JOIN earliest e ON e.subscriber = l.subscriber
),
owned AS (
    SELECT k.*, CAST(timezone(k.zone, k.charged_at) AS DATE) AS day FROM known k
),
-- Subscriptions of one account may have several cycles. A charge belongs to the period that began last, and among equal ones to the
-- longest.
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
    t.owner AS account,                           -- account of the charges; NULL: neither the charge nor a state of the subscription names one
    t.invoice_id AS number,                       -- the invoice number that the charges name; NULL: none
    t.from_day AS period_from,                    -- first day of the period
    t.to_day AS period_to,                        -- the day after the last day of the period
    t.currency,                                   -- currency of the charges
    sum(t.amount_micros) AS amount_micros,        -- sum of the amounts in millionths
    count(*) AS charges,                          -- number of charges
    bool_and(t.to_day IS NULL OR timezone(t.zone, CAST(t.to_day AS TIMESTAMP)) + t.grace <= t.invoices_until) AS is_due -- whether the feed of invoices has passed the due time
FROM timed t
WHERE t.to_day IS NULL OR t.to_day >= (SELECT min(d.last_day) + 1 FROM documents d WHERE NOT d.is_credit)
GROUP BY t.owner, t.invoice_id, t.from_day, t.to_day, t.currency
