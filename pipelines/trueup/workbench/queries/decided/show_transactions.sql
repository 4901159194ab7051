-- The status of the suspicious transactions concerned. Owner: workbench.
DELETE FROM decided.suspicious_transactions WHERE row IN (SELECT s.row FROM temp.main.concerned_suspicion s);
INSERT INTO decided.suspicious_transactions
SELECT s.row, t.status FROM temp.main.concerned_suspicion s
JOIN main.suspicious_transactions t ON unhex(t.event_id) = s.event_id AND t.case_id = s.case_id;
