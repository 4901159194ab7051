-- Ids of events that begin with a text, at most three. The two bounds are the least and the greatest such id.
SELECT DISTINCT found.stream, lower(hex(found.event_id)) AS event_id
FROM (
    SELECT 'usage' AS stream, u.event_id FROM lake.events.usage u WHERE u.event_id BETWEEN unhex($low) AND unhex($high)
    UNION ALL
    SELECT 'charge', c.event_id FROM lake.events.charge c WHERE c.event_id BETWEEN unhex($low) AND unhex($high)
    UNION ALL
    SELECT 'stage', g.event_id FROM lake.events.stage g WHERE g.event_id BETWEEN unhex($low) AND unhex($high)
    UNION ALL
    SELECT 'invoice', i.event_id FROM lake.events.invoice i WHERE i.event_id BETWEEN unhex($low) AND unhex($high)
    UNION ALL
    SELECT 'subscriber', s.event_id FROM lake.events.subscriber s WHERE s.event_id BETWEEN unhex($low) AND unhex($high)
    UNION ALL
    SELECT 'tariff', t.event_id FROM lake.events.tariff t WHERE t.event_id BETWEEN unhex($low) AND unhex($high)
    UNION ALL
    SELECT 'quarantine', q.event_id FROM lake.events.quarantine q WHERE q.event_id BETWEEN unhex($low) AND unhex($high)
) found
ORDER BY ALL
LIMIT 3
