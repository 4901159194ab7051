-- The money of cases by account. Cases that decisions since the copy have changed have their present state.
-- Grain: one row per currency, type, kind, case and account. Owner: workbench.
FROM memory.decided.money_by_account
UNION ALL BY NAME
SELECT b.* FROM copy.main.money_by_account b ANTI JOIN memory.decided.concerned d ON d.case_id = b.case_id
