-- All decisions as the log has them.
-- Grain: one row per decision. Owner: workbench.
SELECT d.*, d.snapshot_id FROM lake.events.decision d
