-- The findings a record is in, as they are now.
SELECT f.finding_id, f.kind, f.status, f.service, f.day, f.impact, f.currency
FROM main.findings f
JOIN main.finding_records r ON r.finding_id = f.finding_id
WHERE r.event_id = $event_id
ORDER BY f.kind, f.finding_id
