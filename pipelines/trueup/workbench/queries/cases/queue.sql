-- The queue: cases, and findings that are in no case. An empty parameter does not filter.
-- Grain: one row per case or finding, the most urgent first. Owner: workbench.
WITH every AS (
    SELECT
        c.case_id, c.type, c.kind, c.pattern, c.day, c.status, c.findings, c.open_findings, c.transactions, c.currency, c.impact,
        c.open_impact, c.confidence, c.age_days, c.owner, c.due_on, c.party, c.sentences, c.snoozed_until, c.awaits_second_person,
        NULL AS service, NULL AS subscriber
    FROM cases c
    UNION ALL BY NAME
    SELECT
        f.finding_id AS case_id, 'finding' AS type, f.kind, f.day, f.status, 1 AS findings,
        CAST(f.status = 'open' AS INTEGER) AS open_findings, f.currency, f.impact, if(f.status = 'open', f.impact, 0) AS open_impact,
        if(f.provisional, 0.3, 1.0) AS confidence, f.service, f.subscriber
    FROM loose_findings f
),
first AS (
    SELECT e.*, abs(e.open_impact) * coalesce(e.confidence, 0.5) AS weight
    FROM every e
    WHERE ($type = '' OR e.type = $type)
        AND ($status = '' OR e.status = $status)
        AND ($kind = '' OR e.kind = $kind)
        AND ($owner = '' OR coalesce(e.owner, 'without owner') = $owner)
        AND ($currency = '' OR e.currency = $currency)
        AND ($search = '' OR starts_with(e.case_id, lower($search))
            OR contains(lower(concat_ws(' ', e.kind, e.pattern, e.party, e.service, e.subscriber)), lower($search)))
        AND ($status <> 'open' OR e.snoozed_until IS NULL OR e.snoozed_until <= CAST($now AS TIMESTAMPTZ))
    ORDER BY e.status = 'open' DESC, e.type = 'root_cause' DESC, weight DESC, e.confidence DESC, e.case_id
    LIMIT $most
)
SELECT
    f.* REPLACE (
        coalesce(f.pattern, CAST(to_json([['service', f.service], ['subscriber', f.subscriber], ['day', CAST(f.day AS VARCHAR)]]) AS VARCHAR)) AS pattern
    ),
    f.case_id AS key
FROM first f
ORDER BY f.status = 'open' DESC, f.type = 'root_cause' DESC, f.weight DESC, f.confidence DESC, f.case_id
