-- Changes of findings in the last day of commits, by action, with their money.
-- Grain: one row per action, cause and kind. Owner: workbench.
SELECT
    c.action,                                     -- raised, revised, resolved or retracted
    c.cause,                                      -- cause of the change
    c.kind,                                       -- kind of the finding
    any_value(c.findings) AS findings,            -- number of findings
    sum(c.impact) FILTER (WHERE c.currency = $currency) AS impact, -- money of the findings after the change
    max(c.last_at) AS last_at                     -- time of the last of these changes
FROM recent_changes c
GROUP BY c.action, c.cause, c.kind
ORDER BY abs(coalesce(sum(c.impact) FILTER (WHERE c.currency = $currency), 0)) DESC, findings DESC, c.kind
LIMIT 40
