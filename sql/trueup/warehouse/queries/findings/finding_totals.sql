-- Number and money of open and confirmed findings by currency, counted as in the leakage views; provisional ones apart.
-- A NULL parameter does not filter. Findings of any other requested status count in closed_findings only.
SELECT
    f.currency,
    count(*) FILTER (WHERE f.status IN ('open', 'confirmed') AND NOT f.provisional) AS findings,
    count(*) FILTER (WHERE f.status IN ('open', 'confirmed') AND f.provisional) AS provisional_findings,
    count(*) FILTER (WHERE f.status NOT IN ('open', 'confirmed')) AS closed_findings,
    coalesce(sum(f.impact) FILTER (WHERE f.status IN ('open', 'confirmed') AND NOT f.provisional), 0) AS impact,
    coalesce(sum(f.impact) FILTER (WHERE f.status IN ('open', 'confirmed') AND f.provisional), 0) AS provisional_impact
FROM main.findings f
WHERE ($kind IS NULL OR f.kind = $kind)
    AND ($service IS NULL OR f.service = $service)
    AND ($status IS NULL OR f.status = $status)
    AND ($from_day IS NULL OR f.day >= CAST($from_day AS DATE))
    AND ($to_day IS NULL OR f.day <= CAST($to_day AS DATE))
GROUP BY f.currency
ORDER BY f.currency
