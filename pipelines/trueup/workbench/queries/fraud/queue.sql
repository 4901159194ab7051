-- The queue of suspected parties; an empty parameter does not filter.
-- Grain: one row per fraud case, those within the budget of their day first, by expected loss. Owner: workbench.
SELECT
    c.case_id, c.case_id AS key, c.party, c.day, c.transactions, c.probability, c.rules, c.sentences, c.status, c.typology, c.exposure,
    c.exposure_currency AS currency, c.summary, c.over_budget
FROM cases c
WHERE c.type = 'fraud' AND ($status = '' OR c.status = $status)
    AND ($search = '' OR contains(lower(concat_ws(' ', c.party, c.rules, c.summary, c.sentences, c.case_id)), lower($search)))
ORDER BY c.over_budget, c.expected_loss_per_hour DESC NULLS LAST, c.probability DESC NULLS LAST, c.transactions DESC, c.case_id
LIMIT $most
