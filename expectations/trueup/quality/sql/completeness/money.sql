-- Usage and charges by feed, service, UTC day, currency and commit, with sums of amounts and of their squares in whole units.
-- Grain: one feed, service, day, currency and commit. Owner: quality. The sums are statistics for an estimate and enter no sum of
-- money owed.
WITH by_unit AS (
    SELECT
        u.source_id, coalesce(u.service, '') AS service, u.day, u.snapshot_id, CAST(NULL AS VARCHAR) AS currency,
        count(*) AS used, 0 AS charged, 0.0 AS amount, 0.0 AS amount_squared
    FROM lake.events.usage AS u
    WHERE u.snapshot_id <= $reached AND u.day >= $first_day
    GROUP BY u.source_id, u.service, u.day, u.snapshot_id
    UNION ALL
    SELECT
        c.source_id, coalesce(c.service, ''), c.day, c.snapshot_id, c.currency, 0, count(*), sum(c.amount_micros / 1e6),
        sum(pow(c.amount_micros / 1e6, 2))
    FROM lake.events.charge AS c
    WHERE c.snapshot_id <= $reached AND c.day >= $first_day AND c.currency IS NOT NULL
    GROUP BY c.source_id, c.service, c.day, c.snapshot_id, c.currency
)
SELECT
    regexp_replace(b.source_id, '@[^@]*$', '') AS source, b.service, b.day, b.currency, CAST(sum(b.used) AS BIGINT) AS used,
    CAST(sum(b.charged) AS BIGINT) AS charged, sum(b.amount) AS amount, sum(b.amount_squared) AS amount_squared, b.snapshot_id AS at_snapshot
FROM by_unit AS b
GROUP BY ALL
