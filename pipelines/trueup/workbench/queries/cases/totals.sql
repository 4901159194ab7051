-- How many cases there are of each type, status, kind and owner, for the filters and the totals; findings in no case count as well.
-- Grain: one row per type, status, kind, owner and currency. Owner: workbench.
WITH every AS (
    SELECT c.type, c.status, c.kind, coalesce(c.owner, 'without owner') AS owner, c.currency, c.open_impact FROM cases c
    UNION ALL
    SELECT 'finding', f.status, f.kind, 'without owner', f.currency, if(f.status = 'open', f.impact, 0)
    FROM loose_findings f
)
SELECT
    e.type,                                       -- root_cause, fraud, or finding: one that is filed in no case
    e.status,                                     -- as in cases and findings
    e.kind,                                       -- of its findings, or fraud
    e.owner,                                      -- who is responsible
    e.currency,                                   -- of the money
    count(*) AS cases,                            -- number of cases
    coalesce(sum(e.open_impact) FILTER (WHERE e.open_impact > 0 AND e.type <> 'fraud'), 0) AS leakage, -- undecided: earned and not billed
    coalesce(-sum(e.open_impact) FILTER (WHERE e.open_impact < 0 AND e.type <> 'fraud'), 0) AS overcharge, -- undecided: billed and not earned
    coalesce(sum(e.open_impact) FILTER (WHERE e.type = 'fraud'), 0) AS fraud -- undecided: charged, and will not be paid
FROM every e
GROUP BY ALL
