-- What changed in the last day of commits: findings raised, revised, resolved and retracted, with their money.
-- Grain: one row per action, cause and kind. Owner: workbench.
WITH newest AS (SELECT max(h.committed_at) AS at FROM finding_history h)
SELECT
    h.action,                                     -- raised, revised, resolved or retracted
    h.cause,                                      -- why
    h.kind,                                       -- what is wrong
    count(DISTINCT h.finding_id) AS findings,     -- number of findings
    sum(h.impact) FILTER (WHERE h.currency = $currency) AS impact, -- their money after the change
    max(h.committed_at) AS last_at                -- the last of these changes
FROM finding_history h, newest n
WHERE h.committed_at > n.at - INTERVAL 1 day
GROUP BY h.action, h.cause, h.kind
ORDER BY abs(coalesce(sum(h.impact) FILTER (WHERE h.currency = $currency), 0)) DESC, findings DESC, h.kind
LIMIT 40
