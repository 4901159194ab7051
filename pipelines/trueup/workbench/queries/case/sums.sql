-- The money of one case.
-- Grain: one row. Owner: workbench.
SELECT
    count(*) AS findings,                         -- number of findings that later records have not closed
    count(DISTINCT f.subscriber) AS subscribers,  -- number of subscribers concerned
    coalesce(sum(f.expected), 0) AS expected,     -- money that should have been billed
    coalesce(sum(f.billed), 0) AS billed,         -- money that was billed
    coalesce(sum(f.impact), 0) AS impact,         -- sum of the impacts of the findings
    count(*) FILTER (WHERE f.provisional) AS provisional -- number of findings that may vanish
FROM findings f
WHERE f.case_id = $id AND f.stands
