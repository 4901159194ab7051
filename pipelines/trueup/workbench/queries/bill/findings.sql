-- The findings of one subscriber that stand.
SELECT f.finding_id, f.kind, f.status, f.started_at, f.day, f.impact, f.currency, f.reason, f.usage_event_id, f.charge_event_id
FROM findings f
WHERE f.subscriber = $subscriber AND f.status NOT IN ('resolved', 'retracted')
    AND (f.started_at IS NULL OR (f.started_at >= $from_time AND f.started_at < $to_time))
ORDER BY f.started_at, f.finding_id
LIMIT 5000
