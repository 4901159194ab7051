-- The queue of cases; an empty parameter does not filter.
-- Grain: one row per case, those to decide first on top. Owner: workbench.
SELECT
    c.case_id, c.case_id AS key, c.type, c.kind, c.pattern, c.day, c.status, c.rank, c.findings, c.open_findings, c.transactions,
    c.currency, c.impact, c.open_impact, c.confidence, c.age_days, c.owner, c.due_on, c.party, c.probability, c.rules, c.sentences
FROM cases c
WHERE ($type = '' OR c.type = $type)
    AND ($status = '' OR c.status = $status)
    AND ($kind = '' OR c.kind = $kind)
    AND ($owner = '' OR coalesce(c.owner, 'without owner') = $owner)
    AND ($currency = '' OR c.currency = $currency)
    AND ($search = '' OR contains(lower(concat_ws(' ', c.kind, c.pattern, c.party, c.case_id)), lower($search)))
ORDER BY c.status = 'open' DESC, abs(c.open_impact) * coalesce(c.confidence, 0.5) DESC, c.rank
LIMIT $most
