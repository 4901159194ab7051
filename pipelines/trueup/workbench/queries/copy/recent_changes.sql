-- Changes of findings in the last day of commits, by action, with their money.
-- Grain: one row per action, cause, kind and currency. Owner: workbench.
WITH changes AS (
    SELECT c.finding_id, c.action, c.cause, c.kind, c.currency, c.impact_micros, p.committed_at
    FROM steps.finding_change c
    JOIN lake.events.position p ON p.position = c.position
),
recent AS (
    SELECT c.* FROM changes c WHERE c.committed_at > (SELECT max(n.committed_at) FROM changes n) - INTERVAL 1 DAY
),
counted AS (
    SELECT r.action, r.cause, r.kind, count(DISTINCT r.finding_id) AS findings FROM recent r GROUP BY r.action, r.cause, r.kind
)
SELECT
    r.action,                                     -- raised, revised, resolved or retracted
    r.cause,                                      -- cause of the change
    r.kind,                                       -- kind of the finding
    r.currency,                                   -- currency of the money
    any_value(c.findings) AS findings,            -- number of findings, in all currencies
    steps.micros_as_money(sum(r.impact_micros)) AS impact, -- money of the findings after the change
    max(r.committed_at) AS last_at                -- time of the last of these changes
FROM recent r
JOIN counted c ON c.action = r.action AND c.cause IS NOT DISTINCT FROM r.cause AND c.kind = r.kind
GROUP BY r.action, r.cause, r.kind, r.currency
