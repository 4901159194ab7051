-- The findings and the money of the cases concerned. Owner: workbench.
DELETE FROM decided.case_sums WHERE case_id IN (SELECT unhex(c.case_id) FROM temp.main.concerned_case c);
INSERT INTO decided.case_sums BY NAME FROM steps.case_sums;
