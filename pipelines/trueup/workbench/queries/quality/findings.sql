-- Findings about feeds, the most money at stake first.
-- Grain: one row per finding. Owner: workbench.
SELECT
    f.finding_id, f.finding_id AS key, f.kind, f.source, f.node, f.control, f.day, f.started_at, f.ended_at, f.records_low, f.records_high,
    f.impact_low, f.impact_high, f.currency, f.reason, f.status
FROM findings f
WHERE f.control IS NOT NULL AND f.stands AND ($source = '' OR f.source = $source)
ORDER BY f.impact_high DESC NULLS LAST, f.records_high DESC NULLS LAST, f.day DESC, f.finding_id
LIMIT $most
