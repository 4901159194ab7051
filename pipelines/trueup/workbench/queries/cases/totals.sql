-- Number of cases by type, status, kind and owner, for the filters and the totals. Findings in no case count as well.
-- Grain: one row per type, status, kind, owner and currency. Owner: workbench.
WITH every AS (
    SELECT c.type, c.status, c.kind, coalesce(c.owner, 'without owner') AS owner, c.currency, c.open_impact FROM cases c
    UNION ALL
    SELECT 'finding', f.status, f.kind, 'without owner', f.currency, if(f.status = 'open', f.impact, 0)
    FROM loose_findings f
)
SELECT
    e.type,                                       -- root_cause, fraud, or finding for findings that are in no case
    e.status,                                     -- as in cases and findings
    e.kind,                                       -- kind of the findings, or fraud
    e.owner,                                      -- the responsible person
    e.currency,                                   -- currency of the money
    count(*) AS cases,                            -- number of cases
    coalesce(sum(e.open_impact) FILTER (WHERE e.open_impact > 0 AND e.type <> 'fraud'), 0) AS leakage, -- undecided money that was earned and not billed
    coalesce(-sum(e.open_impact) FILTER (WHERE e.open_impact < 0 AND e.type <> 'fraud'), 0) AS overcharge, -- undecided money that was billed and not earned
    coalesce(sum(e.open_impact) FILTER (WHERE e.type = 'fraud'), 0) AS fraud -- undecided money that was charged and that a fraudster will not pay
FROM every e
GROUP BY ALL
