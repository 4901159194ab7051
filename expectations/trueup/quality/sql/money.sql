-- Usage and charges by service, UTC day and commit, with sums of amounts and of their squares in whole units of currency.
-- Grain: one of each. Owner: quality. Statistics for an estimate: no sum of what is owed is made of them.
WITH reached AS (
    SELECT max(p.snapshot_id) AS snapshot_id FROM lake.events.position AS p WHERE p.position <= $upto
),
sides AS (
    SELECT coalesce(u.service, '') AS service, u.day, u.snapshot_id, count(*) AS used, 0 AS charged, 0.0 AS amount, 0.0 AS amount_squared
    FROM lake.events.usage AS u
    WHERE u.snapshot_id <= (SELECT r.snapshot_id FROM reached AS r) AND u.day >= $first_day
    GROUP BY u.service, u.day, u.snapshot_id
    UNION ALL
    SELECT
        coalesce(c.service, ''), c.day, c.snapshot_id, 0, count(*), sum(c.amount_micros / 1e6), sum(pow(c.amount_micros / 1e6, 2))
    FROM lake.events.charge AS c
    WHERE c.snapshot_id <= (SELECT r.snapshot_id FROM reached AS r) AND c.day >= $first_day AND c.currency = $currency
    GROUP BY c.service, c.day, c.snapshot_id
)
SELECT b.service, b.day, b.used, b.charged, b.amount, b.amount_squared, p.position
FROM sides AS b
JOIN lake.events.position AS p ON p.snapshot_id = b.snapshot_id
