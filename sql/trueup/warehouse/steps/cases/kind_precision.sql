-- How often decisions have confirmed findings of each kind.
-- Grain: one row per kind with a decided finding that later records have not closed. Owner: investigation.
SELECT
    f.kind,                                       -- kind of the findings
    (count(*) FILTER (f.status <> 'dismissed') + 1) / (count(*) + 1) AS precision -- share of decided findings that were not dismissed, computed with one extra finding that counts as confirmed
FROM steps.finding_now f
WHERE f.stands AND f.status <> 'open' AND f.status IS NOT NULL
GROUP BY f.kind
