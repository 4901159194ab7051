-- The money of all findings of the period that later records have not closed, decided or not. Conservation counts this money as
-- impact.
-- Grain: one row per kind. Owner: workbench.
SELECT
    f.kind,                                       -- kind of the finding
    coalesce(sum(f.impact_micros) FILTER (WHERE f.impact_micros > 0), 0) AS leakage_micros, -- money earned and not billed
    coalesce(-sum(f.impact_micros) FILTER (WHERE f.impact_micros < 0), 0) AS overcharge_micros -- money billed and not earned
FROM findings f
WHERE f.currency = $currency AND f.day BETWEEN $from_day AND $to_day AND f.stands
    AND f.impact_micros <> 0
GROUP BY f.kind
ORDER BY leakage_micros + overcharge_micros DESC, f.kind
