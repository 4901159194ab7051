-- The money of one case.
-- Grain: one row. Owner: workbench.
SELECT
    count(*) AS findings,                         -- findings that stand
    count(DISTINCT f.subscriber) AS subscribers,  -- subscribers concerned
    coalesce(sum(f.expected), 0) AS expected,     -- what should have been billed
    coalesce(sum(f.billed), 0) AS billed,         -- what was billed
    coalesce(sum(f.impact), 0) AS impact,         -- what the findings claim
    count(*) FILTER (WHERE f.provisional) AS provisional -- findings that may vanish
FROM findings f
WHERE f.case_id = $id AND f.stands
