-- The money of one case by account of the ledger.
SELECT b.account, sum(b.balance) AS balance, any_value(b.currency) AS currency
FROM money_by_account b
WHERE b.case_id = $id AND b.account <> 'assessed'
GROUP BY b.account
ORDER BY b.account
