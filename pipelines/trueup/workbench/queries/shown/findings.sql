-- Findings of the copy, with the status that decisions since the copy have given them.
-- Grain: one row per finding. Owner: workbench.
SELECT f.* REPLACE (coalesce(d.status, f.status) AS status)
FROM copy.main.findings f
LEFT JOIN memory.decided.findings d ON d.row = f.rowid
