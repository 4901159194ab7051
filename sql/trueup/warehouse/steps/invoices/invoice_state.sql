-- Invoices and credit notes with the declared tax and the remaining amount.
-- Grain: one row per record of an invoice or credit note. Owner: warehouse.
-- A credit note has the tax of the credited invoice. The tax is computed in whole millionths and rounded once.
WITH taxes AS (
    SELECT
        t.value ->> '$.currency' AS currency, CAST(t.value ->> '$.valid_from' AS DATE) AS valid_from,
        CAST(t.value ->> '$.rate' AS HUGEINT) AS rate_micros, t.value ->> '$.rounding' AS rounding,
        CAST([1000000, 100000, 10000, 1000, 100, 10, 1][CAST(t.value ->> '$.decimals' AS INTEGER) + 1] AS HUGEINT) AS unit_micros,
        CAST(t.value ->> '$.tolerance' AS HUGEINT) AS tolerance_micros
    FROM json_each(CAST(getvariable('invoice_rules') AS JSON), '$.tax') t
),
documents AS MATERIALIZED (
    FROM steps.invoice_document
),
invoiced AS (
    SELECT d.number, d.account, d.currency, min(d.billed_day) AS billed_day
    FROM documents d
    WHERE NOT d.is_credit
    GROUP BY d.number, d.account, d.currency
),
dated AS (
    SELECT d.*, coalesce(i.billed_day, d.billed_day) AS tax_day
    FROM documents d
    LEFT JOIN invoiced i ON d.is_credit AND i.number = d.refers_to AND i.account = d.account AND i.currency = d.currency
),
credits AS (
    SELECT c.invoice_event_id, sum(c.total_micros) AS credited_micros FROM steps.invoice_credit c GROUP BY c.invoice_event_id
),
taxed AS (
    SELECT
        d.*, t.rounding, t.unit_micros, t.tolerance_micros, sign(d.net_micros) AS direction,
        abs(CAST(d.net_micros AS HUGEINT)) * t.rate_micros // (1000000 * t.unit_micros) AS whole,
        abs(CAST(d.net_micros AS HUGEINT)) * t.rate_micros % (1000000 * t.unit_micros) AS rest
    FROM dated d
    ASOF LEFT JOIN taxes t ON t.currency = d.currency AND t.valid_from <= d.tax_day
)
SELECT
    t.* EXCLUDE (rounding, unit_micros, direction, whole, rest, tax_day, tolerance_micros),
    t.direction * t.unit_micros * (t.whole + CASE t.rounding
        WHEN 'up' THEN CAST(t.rest > 0 AS HUGEINT)
        WHEN 'down' THEN 0
        WHEN 'half_up' THEN CAST(2 * t.rest >= 1000000 * t.unit_micros AS HUGEINT)
        ELSE CAST(2 * t.rest > 1000000 * t.unit_micros OR (2 * t.rest = 1000000 * t.unit_micros AND t.whole % 2 = 1) AS HUGEINT)
    END) AS expected_tax_micros,                  -- the tax by the declared rate; NULL: no tax is declared for the currency and day
    t.tolerance_micros,                           -- tolerance of the tax
    coalesce(c.credited_micros, 0) AS credited_micros, -- amount that credit notes take off the invoice; negative
    -- The remaining amount of an invoice. A credit note has none: it lowers the amount of its invoice.
    CASE WHEN t.is_replaced OR t.is_credit THEN 0 ELSE t.total_micros + coalesce(c.credited_micros, 0) END AS remaining_micros,
    NOT t.is_credit AND t.total_micros > 0 AND t.total_micros + coalesce(c.credited_micros, 0) <= 0 AS is_credited -- whether credit notes cancel the whole invoice
FROM taxed t
LEFT JOIN credits c ON c.invoice_event_id = t.event_id
