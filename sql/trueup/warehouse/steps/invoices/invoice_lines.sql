-- Sums of the charges that name an invoice. If no charge names an invoice that replaces another, it has the lines of the replaced
-- invoice.
-- Grain: one row per number and currency of its lines. Owner: warehouse.
-- Several invoices that replace one have its lines together, unless a charge names one of them. Each charge is in one group.
WITH sums AS MATERIALIZED (
    SELECT
        c.invoice_id AS number, c.currency, sum(c.amount_micros) AS amount_micros, count(*) AS lines,
        count(*) FILTER (c.is_usage) AS usage_lines, sum(c.amount_micros) FILTER (c.is_usage) AS usage_micros
    FROM steps.invoice_charge c
    WHERE c.invoice_id IS NOT NULL
    GROUP BY c.invoice_id, c.currency
),
named AS MATERIALIZED (
    SELECT DISTINCT s.number FROM sums s
),
succession AS MATERIALIZED (
    SELECT s.* FROM steps.invoice_succession s SEMI JOIN named n ON n.number = s.former
),
-- Numbers whose charges were issued again under a number in their place.
superseded AS MATERIALIZED (
    SELECT DISTINCT s.former FROM succession s SEMI JOIN named n ON n.number = s.number WHERE s.number <> s.former
),
taken AS MATERIALIZED (
    SELECT s.number, s.former FROM succession s ANTI JOIN superseded x ON x.former = s.former WHERE s.is_standing
    UNION ALL
    -- Charges that no standing number has are shown at the replaced one.
    SELECT s.number, s.former
    FROM succession s
    WHERE s.number = s.former AND (
        s.former IN (SELECT x.former FROM superseded x)
        OR s.former NOT IN (SELECT t.former FROM succession t WHERE t.is_standing)
    )
),
grouped AS MATERIALIZED (
    SELECT t.number, min(t.former) AS named, min(min(t.number)) OVER (PARTITION BY min(t.former)) AS first_number
    FROM taken t
    GROUP BY t.number
),
group_sums AS (
    SELECT
        f.named, s.currency, sum(s.amount_micros) AS amount_micros, sum(s.lines) AS lines, sum(s.usage_lines) AS usage_lines,
        sum(s.usage_micros) AS usage_micros
    FROM (SELECT DISTINCT g.named, t.former FROM grouped g JOIN taken t ON t.number = g.number) f
    JOIN sums s ON s.number = f.former
    GROUP BY f.named, s.currency
)
SELECT
    g.number,                                     -- number of the invoice
    g.named,                                      -- the number that the lines name
    g.first_number,                               -- the first of the numbers that have these lines together; mostly the number itself
    s.currency,                                   -- currency of the lines
    s.amount_micros,                              -- sum of the amounts in millionths
    s.lines,                                      -- number of lines
    s.usage_lines,                                -- number of lines for usage
    coalesce(s.usage_micros, 0) AS usage_micros   -- sum of the lines for usage
FROM grouped g
JOIN group_sums s ON s.named = g.named
