-- What each subscription should have been billed in each month of 2024, by days of each plan, and where the bill differs.
-- Grain: one row per subscription and month. Owner: benchmarks. A SELECT from `expected` or `different` follows.
WITH months AS (
    SELECT CAST(range AS DATE) AS month, CAST(range + INTERVAL 1 MONTH AS DATE) AS next_month
    FROM range(TIMESTAMP '2024-01-01', TIMESTAMP '2025-01-01', INTERVAL 1 MONTH)
),
prices AS (SELECT plan, price_micros FROM lake.events.tariff WHERE item = 'recurring'),
spans AS (
    SELECT s.subscriber, p.price_micros, CAST(s.valid_from AS DATE) AS first_day, coalesce(CAST(s.valid_to AS DATE), DATE '9999-01-01') AS last_day
    FROM lake.events.subscriber s
    JOIN prices p USING (plan)
    WHERE s.status = 'active'
),
expected AS (
    SELECT
        s.subscriber, m.month,
        CAST(round(sum(CAST(s.price_micros AS HUGEINT) * (least(s.last_day, m.next_month) - greatest(s.first_day, m.month)))
            / any_value(m.next_month - m.month)) AS BIGINT) AS expected_micros
    FROM spans s
    JOIN months m ON s.first_day < m.next_month AND s.last_day > m.month
    GROUP BY ALL
),
billed AS (
    SELECT c.subscriber, CAST(date_trunc('month', c.period_from) AS DATE) AS month, sum(c.amount_micros) AS billed_micros
    FROM lake.events.charge c
    WHERE c.item = 'line'
    GROUP BY ALL
),
different AS (
    SELECT e.subscriber, e.month, e.expected_micros, coalesce(b.billed_micros, 0) AS billed_micros
    FROM expected e
    LEFT JOIN billed b USING (subscriber, month)
    WHERE e.expected_micros <> coalesce(b.billed_micros, 0)
)
