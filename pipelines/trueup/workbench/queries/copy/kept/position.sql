-- The newest commit with a position, from which the age of cases is counted.
-- Grain: one row. Owner: workbench.
SELECT max(p.position) AS position, max(p.committed_at) AS committed_at FROM lake.events.position p
