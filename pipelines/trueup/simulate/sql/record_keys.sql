-- The record keys of events by their ids. Grain: one row per finding, stream and record. Owner: simulate.
SELECT m.finding_id, 'usage' AS stream, u.record_key
FROM members m
JOIN lake.events.usage u ON u.event_id = m.event_id
WHERE NOT m.charge
UNION
SELECT m.finding_id, 'charge', c.record_key
FROM members m
JOIN lake.events.charge c ON c.event_id = m.event_id
WHERE m.charge
ORDER BY ALL
