-- Invoices whose amounts disagree with their charges, with the declared tax, or with each other, and invoices that were issued too
-- early.
-- Grain: one row per finding. Owner: warehouse.
-- Equal copies of an invoice count once. A repeated invoice that no charge names is not compared: its money is in the finding about
-- the repetition.
-- A credit note that no charge names is not compared either. Invoices that replaced one together are compared with its charges as a sum.
WITH rule AS MATERIALIZED (
    SELECT r.* FROM steps.invoice_rule r
),
standing AS MATERIALIZED (
    SELECT s.*, r.event_id IS NOT NULL AS is_repeated
    FROM steps.invoice_state s
    LEFT JOIN steps.invoice_repeat r ON r.event_id = s.event_id AND r.is_same
    WHERE NOT s.is_replaced
),
lines AS MATERIALIZED (
    SELECT l.* FROM steps.invoice_lines l WHERE (SELECT r.has_lines FROM rule r)
),
rejected AS MATERIALIZED (
    SELECT DISTINCT s.account, s.from_time, s.until_time FROM steps.suspense s WHERE s.stream = 'charge'
),
copies AS (
    SELECT DISTINCT
        s.number, s.account, s.is_credit, s.first_day, s.last_day, s.currency, s.net_micros, s.tax_micros, s.total_micros,
        min(s.billed_at) OVER equal AS billed_at, bool_and(s.is_repeated) OVER equal AS is_repeated
    FROM standing s
    WINDOW equal AS (PARTITION BY s.number, s.account, s.first_day, s.last_day, s.currency, s.net_micros, s.tax_micros, s.total_micros)
),
numbered AS (
    SELECT
        coalesce(g.first_number, c.number) AS number, c.currency, min(c.account) AS account, bool_and(c.is_credit) AS is_credit, min(c.first_day) AS first_day,
        max(c.last_day) AS last_day, max(c.billed_at) AS billed_at, sum(if(r.is_gross, c.total_micros, c.net_micros)) AS billed_micros,
        bool_and(c.is_repeated) AS is_repeated
    FROM copies c
    CROSS JOIN rule r
    LEFT JOIN (SELECT DISTINCT l.number, l.first_number FROM lines l) g ON g.number = c.number
    GROUP BY coalesce(g.first_number, c.number), c.currency
),
compared AS (
    SELECT
        'lines_differ' AS kind, n.number, n.account, n.first_day, n.last_day, n.billed_at, coalesce(l.amount_micros, 0) AS expected_micros,
        n.billed_micros, n.currency, if(l.number IS NULL, 'no_lines', NULL) AS reason, coalesce(l.lines, 0) AS records
    FROM numbered n
    CROSS JOIN rule r
    LEFT JOIN lines l ON l.number = n.number AND l.currency = n.currency
    WHERE r.has_lines AND NOT ((n.is_credit OR n.is_repeated) AND l.number IS NULL) AND coalesce(l.amount_micros, 0) <> n.billed_micros
    UNION ALL
    SELECT
        'other_currency', l.number, min(n.account), min(n.first_day), max(n.last_day), max(n.billed_at), any_value(l.amount_micros), 0, l.currency,
        NULL, any_value(l.lines)
    FROM lines l
    JOIN numbered n ON n.number = l.number
    GROUP BY l.number, l.currency
    HAVING bool_and(n.currency <> l.currency)
),
awaited AS (
    SELECT
        c.*,
        CASE
            -- Charges may still arrive until the period is over, or until the invoice was issued if that is earlier.
            WHEN r.charges_until IS NULL OR r.charges_until < least(timezone(r.zone, CAST(c.last_day + 1 AS TIMESTAMP)) - INTERVAL 1 SECOND, c.billed_at) THEN 'incomplete feed'
            WHEN EXISTS (
                FROM rejected q
                WHERE
                    q.account = c.account AND coalesce(q.until_time >= timezone(r.zone, CAST(c.first_day AS TIMESTAMP)), TRUE)
                    AND coalesce(q.from_time < timezone(r.zone, CAST(c.last_day + 1 AS TIMESTAMP)), TRUE)
            ) THEN 'quarantined record'
        END AS provisional_reason
    FROM compared c
    CROSS JOIN rule r
),
early AS (
    SELECT
        s.*, r.has_lines,
        (SELECT sum(l.usage_lines) FROM lines l WHERE l.number = s.number) AS usage_lines,
        (SELECT sum(l.usage_micros) FROM lines l WHERE l.number = s.number AND l.currency = s.currency) AS usage_micros,
        (
            SELECT sum(c.amount_micros)
            FROM steps.invoice_charge c
            WHERE c.invoice_id = s.number AND c.is_usage AND c.currency = s.currency AND c.started_at > s.billed_at
        ) AS later_micros
    FROM standing s
    CROSS JOIN rule r
    WHERE NOT s.is_credit AND s.billed_day <= s.last_day
)
SELECT
    a.kind,                                       -- as in invoice_findings, like all columns
    a.number, NULL AS other_number, a.account, a.first_day AS period_from, a.last_day + 1 AS period_to, a.expected_micros, a.billed_micros,
    a.expected_micros - a.billed_micros AS impact_micros, a.currency, a.reason, a.records, a.provisional_reason
FROM awaited a
UNION ALL
SELECT DISTINCT
    'tax_differs', s.number, NULL, s.account, s.first_day, s.last_day + 1, s.expected_tax_micros, s.tax_micros,
    s.expected_tax_micros - s.tax_micros, s.currency, NULL, 1, NULL
FROM standing s
WHERE abs(s.expected_tax_micros - s.tax_micros) > s.tolerance_micros
UNION ALL
SELECT DISTINCT
    'total_differs', s.number, NULL, s.account, s.first_day, s.last_day + 1, CAST(s.net_micros AS HUGEINT) + s.tax_micros, s.total_micros,
    CAST(s.net_micros AS HUGEINT) + s.tax_micros - s.total_micros, s.currency, NULL, 1, NULL
FROM standing s
WHERE CAST(s.net_micros AS HUGEINT) + s.tax_micros <> s.total_micros
UNION ALL
SELECT DISTINCT
    'invoice_before_usage', e.number, NULL, e.account, e.first_day, e.last_day + 1,
    if(e.later_micros IS NULL, NULL, e.usage_micros - e.later_micros), if(e.later_micros IS NULL, NULL, e.usage_micros), -e.later_micros,
    e.currency, NULL, 1, NULL
FROM early e
WHERE NOT e.has_lines OR e.usage_lines > 0
