-- Conservation of money: expected - billed = impact + tolerated + pending, exact to the millionth.
-- Grain: one row per service, day and currency that holds money or unrated records. Owner: warehouse.
-- Expected, billed, tolerated and pending are sums of the kernel's ledger, and impact is the sum of the findings. The two are
-- computed independently, so a difference of 0 is evidence.
WITH entries AS (
    SELECT
        coalesce(l.service, '') AS service, l.day, l.currency, l.expected_micros, l.billed_micros, 0 AS impact_micros,
        l.tolerated_micros, l.pending_micros, l.unrated_records
    FROM lake.events.ledger l
    WHERE l.position <= (SELECT r.position FROM steps.reconciled r)
    UNION ALL
    SELECT f.service, f.day, f.currency, 0, 0, f.impact_micros, 0, 0, 0
    FROM steps.finding_standing f
    WHERE f.impact_micros <> 0
),
sums AS (
    SELECT
        e.service, e.day, e.currency,
        sum(e.expected_micros) AS expected_micros, sum(e.billed_micros) AS billed_micros, sum(e.impact_micros) AS impact_micros,
        sum(e.tolerated_micros) AS tolerated_micros, sum(e.pending_micros) AS pending_micros,
        CAST(sum(e.unrated_records) AS BIGINT) AS unrated_records
    FROM entries e
    GROUP BY e.service, e.day, e.currency
)
SELECT
    s.service,                                    -- '' for charges without a service
    s.day,                                        -- day in the project's time zone; NULL for charges without any date
    s.currency,                                   -- currency of all the sums
    s.expected_micros,                            -- money that should have been billed
    s.billed_micros,                              -- money that was billed
    s.impact_micros,                              -- sum of the impacts of open findings
    s.tolerated_micros,                           -- sum of the differences within tolerance
    s.pending_micros,                             -- money that is not final yet
    s.unrated_records,                            -- number of usage records without a price, which expect 0
    s.expected_micros - s.billed_micros - s.impact_micros - s.tolerated_micros - s.pending_micros AS difference_micros -- difference of the sums; must be 0
FROM sums s
WHERE s.expected_micros <> 0 OR s.billed_micros <> 0 OR s.impact_micros <> 0 OR s.tolerated_micros <> 0 OR s.pending_micros <> 0
    OR s.unrated_records <> 0
ORDER BY s.day, s.service, s.currency
