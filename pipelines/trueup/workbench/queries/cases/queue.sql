-- The queue: cases, and findings that are filed in none; an empty parameter does not filter.
-- Grain: one row per case or finding, those to decide first on top. Owner: workbench.
WITH every AS (
    SELECT
        c.case_id, c.type, c.kind, c.pattern, c.day, c.status, c.findings, c.open_findings, c.transactions, c.currency, c.impact,
        c.open_impact, c.confidence, c.age_days, c.owner, c.due_on, c.party, c.sentences, c.snoozed_until, c.awaits_second_person
    FROM cases c
    UNION ALL BY NAME
    SELECT
        f.finding_id AS case_id, 'finding' AS type, f.kind,
        CAST(to_json([['service', f.service], ['subscriber', f.subscriber], ['day', CAST(f.day AS VARCHAR)]]) AS VARCHAR) AS pattern,
        f.day, f.status, 1 AS findings, CAST(f.status = 'open' AS INTEGER) AS open_findings, f.currency, f.impact,
        if(f.status = 'open', f.impact, 0) AS open_impact, if(f.provisional, 0.3, 1.0) AS confidence
    FROM findings f
    WHERE f.status NOT IN ('resolved', 'retracted') AND f.control IS NULL
        AND NOT EXISTS (FROM case_members m WHERE m.member_id = f.finding_id)
)
SELECT e.*, e.case_id AS key
FROM every e
WHERE ($type = '' OR e.type = $type)
    AND ($status = '' OR e.status = $status)
    AND ($kind = '' OR e.kind = $kind)
    AND ($owner = '' OR coalesce(e.owner, 'without owner') = $owner)
    AND ($currency = '' OR e.currency = $currency)
    AND ($search = '' OR contains(lower(concat_ws(' ', e.kind, e.pattern, e.party, e.case_id)), lower($search)))
    AND ($status <> 'open' OR e.snoozed_until IS NULL OR e.snoozed_until <= CAST($now AS TIMESTAMPTZ))
ORDER BY e.status = 'open' DESC, e.type = 'root_cause' DESC, abs(e.open_impact) * coalesce(e.confidence, 0.5) DESC, e.confidence DESC, e.case_id
LIMIT $most
