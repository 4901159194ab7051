-- The money of one case by day.
-- Grain: one row per day. Owner: workbench.
SELECT f.day, sum(f.impact) AS impact, count(*) AS findings
FROM findings f
WHERE f.case_id = $id AND f.day IS NOT NULL
GROUP BY f.day
ORDER BY f.day
