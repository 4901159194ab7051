-- When the first position was committed that the findings do not know yet, and how much has ever happened to findings.
-- Grain: one row.
SELECT
    (SELECT min(p.committed_at) FROM lake.events.position p WHERE p.position > $reconciled AND p.position <= $position)
        AS waiting_since,
    (SELECT count(*) FROM lake.events.finding f WHERE f.position <= $reconciled) AS changes
