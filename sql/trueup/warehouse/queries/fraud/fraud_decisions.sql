-- Every decision on a suspicious transaction, or on its case after the transaction was scored, oldest first.
SELECT s.event_id, s.day, d.decision, d.decided_at, d.snapshot_id AS decided_snapshot
FROM lake.events.decision d
JOIN steps.suspicion s
    ON d.finding_id = s.event_id OR (d.finding_id = unhex(s.case_id) AND s.started_at <= d.decided_at AND s.scored_snapshot < d.snapshot_id)
ORDER BY d.decided_at, d.snapshot_id, s.event_id
