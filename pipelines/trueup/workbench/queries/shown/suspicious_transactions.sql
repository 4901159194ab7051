-- Suspicious transactions of the copy, with the status that decisions since the copy have given them.
-- Grain: one row per suspicious transaction and accused party. Owner: workbench.
SELECT t.* REPLACE (coalesce(d.status, t.status) AS status)
FROM copy.main.suspicious_transactions t
LEFT JOIN memory.decided.suspicious_transactions d ON d.row = t.rowid
