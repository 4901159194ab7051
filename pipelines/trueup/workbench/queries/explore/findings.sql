-- Findings for the page Explore and its cross-filters. Amounts are numbers that charts add up, and days are times.
SELECT
    CAST(f.day AS TIMESTAMP) AS day, f.kind, f.status, f.service, coalesce(nullif(f.node, ''), 'none') AS node,
    coalesce(f.reason, 'unknown') AS reason, f.cause, f.subscriber, f.peer, CAST(f.impact AS DOUBLE) AS impact, f.currency,
    hour(f.started_at) AS hour, f.provisional, f.finding_id
FROM copy.main.findings f
WHERE f.stands AND f.day IS NOT NULL
    AND f.has_record
