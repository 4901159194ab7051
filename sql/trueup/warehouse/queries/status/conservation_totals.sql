-- Totals of the conservation sums by currency.
SELECT
    c.currency, steps.micros_as_money(sum(c.expected_micros)) AS expected, steps.micros_as_money(sum(c.billed_micros)) AS billed,
    steps.micros_as_money(sum(c.impact_micros)) AS impact, steps.micros_as_money(sum(c.tolerated_micros)) AS tolerated,
    steps.micros_as_money(sum(c.pending_micros)) AS pending, sum(c.unrated_records) AS unrated_records,
    steps.micros_as_money(sum(c.difference_micros)) AS difference
FROM main.conservation c
GROUP BY c.currency
ORDER BY c.currency
