-- Credit notes that refer to no known invoice or exceed it, and invoices that bill an account twice.
-- Grain: one row per finding. Owner: warehouse.
WITH standing AS MATERIALIZED (
    SELECT s.* FROM steps.invoice_state s WHERE NOT s.is_replaced
),
invoiced AS MATERIALIZED (
    SELECT s.number, s.account, s.currency, min(s.first_day) AS first_day, max(s.last_day) AS last_day, sum(s.total_micros) AS total_micros
    FROM (
        SELECT DISTINCT d.number, d.account, d.currency, d.first_day, d.last_day, d.net_micros, d.tax_micros, d.total_micros
        FROM steps.invoice_document d
        WHERE NOT d.is_credit
    ) s
    GROUP BY s.number, s.account, s.currency
),
unmatched AS (
    SELECT
        s.*,
        CASE
            WHEN s.refers_to IS NULL THEN 'names_none'
            WHEN s.refers_to NOT IN (SELECT i.number FROM invoiced i) THEN 'unknown_number'
            WHEN NOT EXISTS (FROM invoiced i WHERE i.number = s.refers_to AND i.account = s.account) THEN 'other_account'
            ELSE 'other_currency'
        END AS reason
    FROM standing s
    WHERE
        s.is_credit
        AND NOT EXISTS (FROM invoiced i WHERE i.number = s.refers_to AND i.account = s.account AND i.currency = s.currency)
)
SELECT
    'credit_without_invoice' AS kind,             -- as in invoice_findings, like all columns
    u.number, u.refers_to AS other_number, u.account, u.first_day AS period_from, u.last_day + 1 AS period_to,
    CAST(0 AS HUGEINT) AS expected_micros, CAST(u.total_micros AS HUGEINT) AS billed_micros, -CAST(u.total_micros AS HUGEINT) AS impact_micros,
    u.currency, u.reason, 1 AS records,
    if(EXISTS (FROM steps.invoice_suspense q WHERE q.account = u.account), 'quarantined record', NULL) AS provisional_reason
FROM unmatched u
UNION ALL
SELECT
    'credit_above_invoice', i.number, c.last_number, i.account, i.first_day, i.last_day + 1, -greatest(i.total_micros, 0), c.credited_micros,
    -greatest(i.total_micros, 0) - c.credited_micros, i.currency, NULL, c.credit_notes, NULL
FROM invoiced i
JOIN steps.invoice_credit c ON c.number = i.number AND c.account = i.account AND c.currency = i.currency
WHERE -c.credited_micros > greatest(i.total_micros, 0)
UNION ALL
SELECT
    'repeated_invoice', t.number, t.earlier_number, t.account, t.first_day, t.last_day + 1, if(t.is_same, 0, NULL), if(t.is_same, t.total_micros, NULL),
    if(t.is_same, -CAST(t.total_micros AS HUGEINT), NULL), t.currency, if(t.is_same, 'same_period', 'overlap'), 1, NULL
FROM steps.invoice_repeat t
