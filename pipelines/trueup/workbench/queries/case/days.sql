-- The money of one case by day.
-- Grain: one row per day. Owner: workbench.
SELECT f.day, sum(f.impact) AS impact, count(*) AS findings
FROM case_members m
JOIN findings f ON f.finding_id = m.member_id
WHERE m.case_id = $id AND f.day IS NOT NULL
GROUP BY f.day
ORDER BY f.day
