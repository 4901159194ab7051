-- The money of cases by account. No page shows the accounts of money in no case.
-- Grain: one row per currency, type, kind, case and account. Owner: workbench.
SELECT b.* FROM main.money_by_account b WHERE b.case_id IS NOT NULL
