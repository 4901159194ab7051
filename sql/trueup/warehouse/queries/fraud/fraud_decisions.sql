-- Every decision on a suspicious transaction of the party first accused, or on a case after its transaction was scored, oldest
-- first.
SELECT
    s.event_id, CASE WHEN s.party IS NOT DISTINCT FROM s.subscriber THEN 'subscriber' ELSE 'peer' END AS side,
    s.day, d.decision, d.decided_at, d.snapshot AS decided_snapshot
FROM steps.decision_on_transaction d
JOIN steps.suspicion s ON s.event_id = d.event_id AND s.case_id = d.case_id
ORDER BY d.decided_at, d.snapshot, s.event_id, side
