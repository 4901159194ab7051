-- Findings by kind, service, status and day, largest impact first. A NULL parameter does not filter.
SELECT f.*
FROM main.findings f
WHERE ($kind IS NULL OR f.kind = $kind)
    AND ($service IS NULL OR f.service = $service)
    AND ($status IS NULL OR f.status = $status)
    AND ($from_day IS NULL OR f.day >= CAST($from_day AS DATE))
    AND ($to_day IS NULL OR f.day <= CAST($to_day AS DATE))
ORDER BY abs(f.impact_micros) DESC, f.day, f.finding_id
LIMIT $most
