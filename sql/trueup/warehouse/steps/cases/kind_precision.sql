-- How often decisions have confirmed findings of each kind.
-- Grain: one row per kind with a decided finding that stands. Owner: investigation.
SELECT
    f.kind,                                       -- of the findings
    (count(*) FILTER (f.status <> 'dismissed') + 1) / (count(*) + 1) AS precision -- share of the decided findings that were not dismissed, one more counted as right
FROM steps.finding_now f
WHERE f.stands AND f.status <> 'open' AND f.status IS NOT NULL
GROUP BY f.kind
