-- How many cases there are of each type, status, kind and owner, for the filters and the totals.
-- Grain: one row per type, status, kind, owner and currency. Owner: workbench.
SELECT
    c.type,                                       -- root_cause or fraud
    c.status,                                     -- as in cases
    c.kind,                                       -- of its findings, or fraud
    coalesce(c.owner, 'without owner') AS owner,  -- who is responsible
    c.currency,                                   -- of the money
    count(*) AS cases,                            -- number of cases
    coalesce(sum(c.open_impact) FILTER (WHERE c.open_impact > 0), 0) AS leakage, -- undecided money, earned and not billed
    coalesce(-sum(c.open_impact) FILTER (WHERE c.open_impact < 0), 0) AS overcharge -- undecided money, billed and not earned
FROM cases c
GROUP BY ALL
