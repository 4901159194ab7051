-- Cases of the copy. Cases that decisions since the copy have changed have their present state.
-- Grain: one row per case. Owner: workbench.
FROM memory.decided.cases
UNION ALL BY NAME
SELECT c.* FROM copy.main.cases c ANTI JOIN memory.decided.cases d ON d.case_id = c.case_id
