-- The decisions on one case or finding, oldest first, from the lake itself.
SELECT d.decision, d.note, d.decided_by, d.decided_at
FROM lake.events.decision d
WHERE d.finding_id = unhex($id)
ORDER BY d.snapshot_id
