-- The fraud cases concerned, and all root causes: a decision on one root cause changes the confidence of others of its kind.
-- Owner: workbench.
CREATE TEMP TABLE concerned_state AS SELECT c.* EXCLUDE (rank, rank_of_day, over_budget) FROM main.cases c;
DELETE FROM decided.cases WHERE case_id IN (SELECT s.case_id FROM temp.main.concerned_state s);
INSERT INTO decided.cases BY NAME FROM temp.main.concerned_state;
