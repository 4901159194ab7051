-- The fraud cases concerned, and all root causes: a decision on one root cause changes the confidence of others of its kind.
-- Owner: workbench.
-- No decision changes which cases are over the budget of their day, so they keep the shown value.
CREATE TEMP TABLE concerned_state AS
SELECT c.* EXCLUDE (rank, rank_of_day, over_budget), k.over_budget
FROM main.cases c
LEFT JOIN memory.shown.cases k ON k.case_id = c.case_id;
DELETE FROM decided.cases WHERE case_id IN (SELECT s.case_id FROM temp.main.concerned_state s);
INSERT INTO decided.cases BY NAME FROM temp.main.concerned_state;
