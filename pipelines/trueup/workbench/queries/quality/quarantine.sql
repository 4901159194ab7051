-- Number of records in quarantine by feed, reason and rule. The query reads the lake itself.
-- Grain: one row per feed, reason and rule. Owner: workbench.
SELECT q.source, q.reason, q.rule, count(*) AS records, min(q.taken_at) AS first_at, max(q.taken_at) AS last_at,
    arg_max(left(q.record, 300), q.taken_at) AS example
FROM main.quarantine q
WHERE q.recycled_position IS NULL
GROUP BY q.source, q.reason, q.rule
ORDER BY records DESC, q.source
LIMIT 200
