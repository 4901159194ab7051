-- Cases without their ranks. The queue computes its own order, which follows the decisions.
-- Grain: one row per case. Owner: workbench.
SELECT c.* EXCLUDE (rank, rank_of_day) FROM main.cases c
