-- Every decision on a suspicious transaction, made on itself or on its case, oldest first.
SELECT s.event_id, d.decision, d.decided_at
FROM lake.events.decision d
JOIN steps.suspicion s ON d.finding_id = s.event_id OR d.finding_id = unhex(s.case_id)
ORDER BY d.decided_at, d.snapshot_id, s.event_id
