-- Sums of the charges that name an invoice. If no charge names an invoice that replaces another, it has the lines of the replaced
-- invoice.
-- Grain: one row per number and currency of its lines. Owner: warehouse.
WITH RECURSIVE sums AS MATERIALIZED (
    SELECT
        c.invoice_id AS number, c.currency, sum(c.amount_micros) AS amount_micros, count(*) AS lines,
        count(*) FILTER (c.is_usage) AS usage_lines, sum(c.amount_micros) FILTER (c.is_usage) AS usage_micros
    FROM steps.invoice_charge c
    WHERE c.invoice_id IS NOT NULL
    GROUP BY c.invoice_id, c.currency
),
former AS (
    SELECT DISTINCT d.number, d.number AS named, 0 AS steps_back FROM steps.invoice_document d
    UNION ALL
    SELECT f.number, d.replaces, f.steps_back + 1
    FROM former f
    JOIN steps.invoice_document d ON d.number = f.named
    -- Two invoices that replace each other would otherwise form an endless loop.
    WHERE d.replaces IS NOT NULL AND f.steps_back < 16
),
nearest AS (
    SELECT f.number, arg_min(f.named, f.steps_back) AS named
    FROM former f
    WHERE f.named IN (SELECT s.number FROM sums s)
    GROUP BY f.number
)
SELECT
    n.number,                                     -- number of the invoice
    n.named,                                      -- the number that the lines name
    s.currency,                                   -- currency of the lines
    s.amount_micros,                              -- sum of the amounts in millionths
    s.lines,                                      -- number of lines
    s.usage_lines,                                -- number of lines for usage
    coalesce(s.usage_micros, 0) AS usage_micros   -- sum of the lines for usage
FROM nearest n
JOIN sums s ON s.number = n.named
