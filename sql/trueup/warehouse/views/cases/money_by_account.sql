-- The balance of each account of the money ledger.
-- Grain: one row per currency, type, kind, case and account. Owner: investigation.
SELECT
    l.currency,                                   -- currency of the balance
    l.type,                                       -- leakage, overcharge or fraud
    l.kind,                                       -- kind of the findings, or fraud
    l.case_id,                                    -- the case; NULL for money in no case
    l.account,                                    -- name of the account; assessed is the opposite of all others
    CAST(sum(l.micros) AS DECIMAL(38, 0)) AS balance_micros, -- balance in millionths
    steps.micros_as_money(sum(l.micros)) AS balance -- the same amount as money
FROM main.money_ledger l
GROUP BY l.currency, l.type, l.kind, l.case_id, l.account
HAVING sum(l.micros) <> 0
ORDER BY l.currency, l.type, l.kind, l.case_id, l.account
