-- Cases as the page shows them: the kinds of findings that share service and reason, and what one party did on one day.
WITH grouped AS (
    SELECT
        md5(concat_ws(';', f.kind, f.service, f.reason, f.currency)) AS case_id, 'root_cause' AS type, f.kind,
        CAST(to_json([['service', f.service], ['reason', coalesce(f.reason, 'unknown')]]) AS VARCHAR) AS pattern, min(f.day) AS day,
        if(bool_or(f.status = 'open'), 'open', 'confirmed') AS status, count(*) AS findings,
        count(*) FILTER (f.status = 'open') AS open_findings, NULL AS transactions, f.currency, sum(f.impact) AS impact,
        coalesce(sum(f.impact) FILTER (f.status = 'open'), 0) AS open_impact, avg(if(f.provisional, 0.3, 1.0)) AS confidence,
        min(f.started_at) AS first_at, max(f.started_at) AS last_at, CAST(NULL AS VARCHAR) AS owner, CAST(NULL AS DATE) AS due_on, CAST(NULL AS VARCHAR) AS party, NULL AS probability,
        NULL AS rules, NULL AS sentences
    FROM main.findings f
    WHERE f.status NOT IN ('resolved', 'retracted') AND f.control IS NULL
    GROUP BY f.kind, f.service, f.reason, f.currency
    UNION ALL
    SELECT
        c.case_id, 'fraud', 'fraud', CAST(to_json([['party', c.party], ['day', CAST(c.day AS VARCHAR)]]) AS VARCHAR), c.day, c.status, 0, 0,
        c.transactions, getvariable('project_currency'), 0, 0, c.probability, c.first_at, c.last_at, NULL, NULL, c.party,
        c.probability, c.rules, c.sentences
    FROM main.cases c
)
SELECT g.*, row_number() OVER (ORDER BY abs(g.open_impact) * coalesce(g.confidence, 0.5) DESC, g.confidence DESC, g.case_id) AS rank,
    date_diff('day', g.first_at, (SELECT max(p.committed_at) FROM lake.events.position p)) AS age_days
FROM grouped g
