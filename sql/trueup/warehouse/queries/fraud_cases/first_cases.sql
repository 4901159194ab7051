-- The open fraud cases with a transaction scored at a position after $after: those within the budget first, by expected loss.
SELECT c.case_id, c.day, c.summary
FROM main.cases c
SEMI JOIN (SELECT t.case_id FROM main.suspicious_transactions t WHERE t.position > $after) n ON n.case_id = c.case_id
WHERE c.type = 'fraud' AND c.status = 'open'
ORDER BY c.over_budget, c.expected_loss_per_hour DESC NULLS LAST, c.probability DESC NULLS LAST, c.transactions DESC, c.case_id
LIMIT $most
