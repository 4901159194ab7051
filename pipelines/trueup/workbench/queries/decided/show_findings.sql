-- The status of the findings concerned. Owner: workbench.
DELETE FROM decided.findings WHERE row IN (SELECT f.row FROM temp.main.concerned_finding f);
INSERT INTO decided.findings
SELECT f.row, n.status FROM temp.main.concerned_finding f JOIN steps.finding_now n ON n.finding_id = f.finding_id;
