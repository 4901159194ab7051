-- The commit time of the first position that is not reconciled yet, and the number of changes of findings.
-- Grain: one row.
SELECT
    (SELECT min(p.committed_at) FROM lake.events.position p WHERE p.position > $reconciled AND p.position <= $position)
        AS waiting_since,
    (SELECT count(*) FROM lake.events.finding f WHERE f.position <= $reconciled) AS changes
