-- Records in quarantine by day.
-- Grain: one row per feed, service and day. Owner: workbench.
SELECT s.source, s.stream, s.service, s.day, s.records, s.keyless_share, s.amount, s.is_incomplete
FROM suspense_by_day s
ORDER BY s.day DESC, s.source
LIMIT 500
