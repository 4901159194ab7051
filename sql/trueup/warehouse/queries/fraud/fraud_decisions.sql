-- Every decision on a suspicious transaction of the party first accused, or on a case after its transaction was scored, oldest
-- first.
SELECT
    s.event_id, CASE WHEN s.party IS NOT DISTINCT FROM s.subscriber THEN 'subscriber' ELSE 'peer' END AS side,
    s.day, d.decision, d.decided_at, d.snapshot_id AS decided_snapshot
FROM lake.events.decision d
JOIN steps.suspicion s
    ON (d.finding_id = s.event_id AND s.is_first)
    OR (d.finding_id = unhex(s.case_id) AND s.started_at <= d.decided_at AND s.scored_snapshot < d.snapshot_id)
ORDER BY d.decided_at, d.snapshot_id, s.event_id, side
