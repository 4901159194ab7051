-- Sums of the charges that name an invoice. An invoice that replaces another and that no charge names has the lines of the other.
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
    -- Two invoices that name each other would go round for ever.
    WHERE d.replaces IS NOT NULL AND f.steps_back < 16
),
nearest AS (
    SELECT f.number, arg_min(f.named, f.steps_back) AS named
    FROM former f
    WHERE f.named IN (SELECT s.number FROM sums s)
    GROUP BY f.number
)
SELECT
    n.number,                                     -- of the invoice
    n.named,                                      -- the number that its lines name
    s.currency,                                   -- of the lines
    s.amount_micros,                              -- their sum in millionths
    s.lines,                                      -- their number
    s.usage_lines,                                -- those for usage
    coalesce(s.usage_micros, 0) AS usage_micros   -- their sum
FROM nearest n
JOIN sums s ON s.number = n.named
