-- Decisions committed after one commit of the lake and up to another.
-- Grain: one row per decision. Owner: workbench.
SELECT d.event_id, d.finding_id, d.decision, d.note, d.decided_by, d.decided_at, d.details, d.snapshot_id
FROM lake.events.decision d
WHERE d.snapshot_id > ? AND d.snapshot_id <= ?
