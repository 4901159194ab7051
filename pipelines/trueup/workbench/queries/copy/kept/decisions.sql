-- All decisions of the log.
-- Grain: one row per decision. Owner: workbench.
SELECT d.*, d.snapshot_id FROM lake.events.decision d
