-- All opened cases of root causes.
-- Grain: one row per case. Owner: workbench.
FROM steps.case_opening
