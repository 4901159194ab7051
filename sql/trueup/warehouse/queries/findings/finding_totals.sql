-- Findings by kind, service and day that are open or confirmed: their number and money, per currency. As leakage views count them.
-- A parameter that is NULL asks for all; a status asked for that is neither open nor confirmed is counted in closed_findings only.
SELECT
    f.currency,
    count(*) FILTER (WHERE f.status IN ('open', 'confirmed')) AS findings,
    count(*) FILTER (WHERE f.status NOT IN ('open', 'confirmed')) AS closed_findings,
    coalesce(sum(f.impact) FILTER (WHERE f.status IN ('open', 'confirmed')), 0) AS impact
FROM main.findings f
WHERE ($kind IS NULL OR f.kind = $kind)
    AND ($service IS NULL OR f.service = $service)
    AND ($status IS NULL OR f.status = $status)
    AND ($from_day IS NULL OR f.day >= CAST($from_day AS DATE))
    AND ($to_day IS NULL OR f.day <= CAST($to_day AS DATE))
GROUP BY f.currency
ORDER BY f.currency
