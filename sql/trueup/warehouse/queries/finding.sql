-- One finding as it is now, with the last decision on it.
SELECT f.*, d.decision, d.note, d.decided_by, d.decided_at
FROM main.findings f
LEFT JOIN steps.decision_now d ON d.finding_id = unhex($finding_id)
WHERE f.finding_id = $finding_id
