-- The findings and the money of each case of a root cause.
-- Grain: one row per case with findings. Owner: workbench.
FROM steps.case_sums
