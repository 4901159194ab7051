-- The findings that a record belongs to, in their current state.
SELECT f.finding_id, f.kind, f.status, f.service, f.day, f.impact, f.currency
FROM main.findings f
JOIN main.finding_records r ON r.finding_id = f.finding_id
WHERE r.event_id = $event_id
ORDER BY f.kind, f.finding_id
