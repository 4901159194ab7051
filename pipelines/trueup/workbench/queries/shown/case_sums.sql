-- The findings and the money of each case of a root cause, including decisions since the copy.
-- Grain: one row per case with findings. Owner: workbench.
FROM memory.decided.case_sums
UNION ALL BY NAME
SELECT s.* FROM copy.kept.case_sums s ANTI JOIN memory.decided.case_sums d ON d.case_id = s.case_id
