-- Accounts without an invoice for a period that is due, and charges on no invoice. The charges of a missing invoice are the money
-- of its finding.
-- Grain: one row per finding. Owner: warehouse.
WITH loose AS MATERIALIZED (
    SELECT u.* FROM steps.uninvoiced u WHERE u.is_due
),
missing AS MATERIALIZED (
    SELECT p.* FROM steps.account_period p WHERE p.is_due AND p.invoice IS NULL
),
of_missing AS (
    SELECT l.account, l.period_from, l.period_to, l.currency, sum(l.amount_micros) AS amount_micros, sum(l.charges) AS charges
    FROM loose l
    SEMI JOIN missing m ON m.account = l.account AND m.period_from = l.period_from AND m.period_to = l.period_to
    GROUP BY l.account, l.period_from, l.period_to, l.currency
),
rejected AS MATERIALIZED (
    SELECT DISTINCT q.account FROM steps.invoice_suspense q
)
SELECT
    'missing_invoice' AS kind,                    -- as in invoice_findings, like all columns
    NULL AS number, NULL AS other_number, m.account, m.period_from, m.period_to, o.amount_micros AS expected_micros,
    if(o.amount_micros IS NULL, NULL, 0) AS billed_micros, o.amount_micros AS impact_micros, o.currency,
    if(o.amount_micros IS NULL, 'no_charges', 'charges_known') AS reason, coalesce(o.charges, 0) AS records,
    -- A rejected invoice without a readable account may belong to any account.
    if(EXISTS (FROM rejected q WHERE q.account = m.account OR q.account IS NULL), 'quarantined record', NULL) AS provisional_reason
FROM missing m
LEFT JOIN of_missing o ON o.account = m.account AND o.period_from = m.period_from AND o.period_to = m.period_to
UNION ALL
SELECT
    'uninvoiced_charge', l.number, NULL, l.account, l.period_from, l.period_to, l.amount_micros, 0, l.amount_micros, l.currency,
    if(l.number IS NULL, 'no_number', 'unknown_number'), l.charges,
    if(l.number IS NOT NULL AND EXISTS (FROM rejected q WHERE q.account = l.account OR q.account IS NULL), 'quarantined record', NULL)
FROM loose l
ANTI JOIN missing m ON m.account = l.account AND m.period_from = l.period_from AND m.period_to = l.period_to
