-- Cases that the decisions concern: the case was decided, or one of its findings or transactions was.
-- Grain: one row per case. Owner: workbench.
SELECT s.id AS case_id FROM temp.main.subject s
UNION
SELECT f.case_id FROM copy.main.findings f SEMI JOIN temp.main.subject s ON s.id = f.finding_id WHERE f.case_id IS NOT NULL
UNION
SELECT t.case_id FROM copy.main.suspicious_transactions t SEMI JOIN temp.main.subject s ON s.id = t.event_id
