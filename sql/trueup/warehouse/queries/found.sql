-- How many findings there are by kind, service, status and day, and what they come to, per currency.
SELECT f.currency, count(*) AS findings, sum(f.impact) AS impact
FROM main.findings f
WHERE ($kind IS NULL OR f.kind = $kind)
    AND ($service IS NULL OR f.service = $service)
    AND ($status IS NULL OR f.status = $status)
    AND ($from_day IS NULL OR f.day >= CAST($from_day AS DATE))
    AND ($to_day IS NULL OR f.day <= CAST($to_day AS DATE))
GROUP BY f.currency
ORDER BY f.currency
