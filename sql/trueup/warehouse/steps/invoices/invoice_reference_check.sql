-- Credit notes that lower no invoice or exceed it, invoices that replace none, and invoices that bill an account twice.
-- Grain: one row per finding. Owner: warehouse.
WITH standing AS MATERIALIZED (
    SELECT s.* FROM steps.invoice_state s WHERE NOT s.is_replaced
),
credits AS MATERIALIZED (
    SELECT c.* FROM steps.invoice_credit c
),
documents AS MATERIALIZED (
    FROM steps.invoice_document
),
succession AS MATERIALIZED (
    FROM steps.invoice_succession
),
rejected AS MATERIALIZED (
    SELECT DISTINCT q.account FROM steps.invoice_suspense q
),
-- Equal copies of an invoice count once, and the parts of a split as one invoice.
families AS MATERIALIZED (
    SELECT
        u.family, s.account, s.currency, min(s.first_day) AS first_day, max(s.last_day) AS last_day, sum(s.total_micros) AS total_micros,
        arg_max(s.number, (s.total_micros, s.number)) AS number
    FROM (
        SELECT DISTINCT d.number, d.account, d.currency, d.first_day, d.last_day, d.net_micros, d.tax_micros, d.total_micros
        FROM standing d
        WHERE NOT d.is_credit
    ) s
    JOIN (SELECT DISTINCT n.number, n.family FROM succession n) u ON u.number = s.number
    GROUP BY u.family, s.account, s.currency
),
credited AS (
    SELECT
        c.family, c.account, c.currency, sum(c.total_micros) AS credited_micros, count(*) AS credit_notes,
        arg_max(c.number, (c.billed_at, c.number)) AS last_number
    FROM credits c
    GROUP BY c.family, c.account, c.currency
),
astray AS (
    SELECT
        d.*,
        CASE
            WHEN d.replaces NOT IN (SELECT i.number FROM documents i) THEN 'unknown_number'
            WHEN NOT EXISTS (FROM documents i WHERE i.number = d.replaces AND i.account = d.account) THEN 'other_account'
            ELSE 'other_kind'
        END AS reason
    FROM documents d
    WHERE
        d.replaces IS NOT NULL
        AND NOT EXISTS (FROM documents i WHERE i.number = d.replaces AND i.account = d.account AND i.is_credit = d.is_credit)
),
unmatched AS (
    SELECT
        s.*,
        CASE
            WHEN s.refers_to IS NULL THEN 'names_none'
            WHEN s.refers_to NOT IN (SELECT i.number FROM documents i WHERE NOT i.is_credit) THEN 'unknown_number'
            WHEN NOT EXISTS (FROM documents i WHERE i.number = s.refers_to AND i.account = s.account AND NOT i.is_credit) THEN 'other_account'
            WHEN s.refers_to NOT IN (SELECT n.former FROM succession n WHERE n.is_standing) THEN 'none_standing'
            ELSE 'other_currency'
        END AS reason
    FROM standing s
    WHERE s.is_credit AND s.event_id NOT IN (SELECT c.event_id FROM credits c)
)
SELECT
    'credit_without_invoice' AS kind,             -- as in invoice_findings, like all columns
    u.number, u.refers_to AS other_number, u.account, u.first_day AS period_from, u.last_day + 1 AS period_to,
    CAST(0 AS HUGEINT) AS expected_micros, CAST(u.total_micros AS HUGEINT) AS billed_micros, -CAST(u.total_micros AS HUGEINT) AS impact_micros,
    u.currency, u.reason, 1 AS records,
    if(EXISTS (FROM rejected q WHERE q.account = u.account), 'quarantined record', NULL) AS provisional_reason
FROM unmatched u
UNION ALL
SELECT
    'credit_above_invoice', i.number, c.last_number, i.account, i.first_day, i.last_day + 1, -greatest(i.total_micros, 0), c.credited_micros,
    -greatest(i.total_micros, 0) - c.credited_micros, i.currency, NULL, c.credit_notes, NULL
FROM families i
JOIN credited c ON c.family = i.family AND c.account = i.account AND c.currency = i.currency
WHERE -c.credited_micros > greatest(i.total_micros, 0)
UNION ALL
SELECT DISTINCT
    'replaces_without_invoice', a.number, a.replaces, a.account, a.first_day, a.last_day + 1, NULL, NULL, NULL, a.currency, a.reason, 1,
    if(EXISTS (FROM rejected q WHERE q.account = a.account), 'quarantined record', NULL)
FROM astray a
UNION ALL
SELECT
    'repeated_invoice', t.number, t.earlier_number, t.account, t.first_day, t.last_day + 1, if(t.is_same, 0, NULL), if(t.is_same, t.remaining_micros, NULL),
    if(t.is_same, -CAST(t.remaining_micros AS HUGEINT), NULL), t.currency, if(t.is_same, 'same_period', 'overlap'), 1, NULL
FROM steps.invoice_repeat t
