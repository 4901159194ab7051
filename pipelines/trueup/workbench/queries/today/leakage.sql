-- Leakage and overcharge still to be recovered or refunded, by day and kind. Provisional findings are left out.
-- Grain: one row per day and kind. Owner: workbench.
SELECT
    f.day,                                        -- day of the money
    f.kind,                                       -- kind of the finding
    count(*) AS findings,                         -- number of findings
    sum(f.impact) FILTER (WHERE f.impact > 0) AS leakage, -- money earned and not billed
    -sum(f.impact) FILTER (WHERE f.impact < 0) AS overcharge -- money billed and not earned, as a positive amount
FROM findings f
WHERE f.currency = $currency AND f.day BETWEEN $from_day AND $to_day AND f.impact <> 0
    AND f.status IN ('open', 'confirmed') AND NOT f.provisional
GROUP BY f.day, f.kind
ORDER BY f.day, f.kind
