-- The accounts of cases, those of cases that decisions since have changed in their present state.
-- Grain: one row per currency, type, kind, case and account. Owner: workbench.
FROM memory.decided.money_by_account
UNION ALL BY NAME
SELECT b.* FROM copy.main.money_by_account b ANTI JOIN memory.decided.concerned d ON d.case_id = b.case_id
