-- Cases without their ranks: the queue has an order of its own, which follows decisions.
-- Grain: one row per case. Owner: workbench.
SELECT c.* EXCLUDE (rank, rank_of_day, over_budget) FROM main.cases c
