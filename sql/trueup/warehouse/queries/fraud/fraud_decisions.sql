-- Every decision on a suspicious transaction of the party first accused, or on a case after its transaction was scored, oldest
-- first. A decision about a part of the money does not change the status, and so is no label.
SELECT
    s.event_id, CASE WHEN s.party IS NOT DISTINCT FROM s.subscriber THEN 'subscriber' ELSE 'peer' END AS side,
    s.day, d.decision, d.decided_at, d.snapshot AS decided_snapshot
FROM steps.decision_on_transaction d
JOIN steps.suspicion s ON s.event_id = d.event_id AND s.case_id = d.case_id
WHERE d.sets_status
ORDER BY d.decided_at, d.snapshot, s.event_id, side
