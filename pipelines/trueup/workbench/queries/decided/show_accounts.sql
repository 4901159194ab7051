-- The money by account of the cases concerned. Owner: workbench.
DELETE FROM decided.money_by_account WHERE case_id IN (FROM temp.main.concerned_case);
DELETE FROM decided.concerned WHERE case_id IN (FROM temp.main.concerned_case);
INSERT INTO decided.concerned FROM temp.main.concerned_case;
INSERT INTO decided.money_by_account BY NAME
SELECT b.* FROM main.money_by_account b SEMI JOIN temp.main.concerned_case c ON c.case_id = b.case_id;
