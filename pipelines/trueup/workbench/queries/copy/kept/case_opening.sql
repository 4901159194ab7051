-- All cases of root causes that were opened.
-- Grain: one row per case. Owner: workbench.
FROM steps.case_opening
