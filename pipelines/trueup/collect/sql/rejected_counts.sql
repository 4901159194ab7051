-- Records of some sources in quarantine that no recycling has mapped again, by the mapping that rejected them.
-- Grain: one source and mapping. Owner: collect.
WITH units AS (
    SELECT c.source_id, any_value(c.source) AS source, any_value(c.mapping) AS mapping
    FROM lake.events.control AS c
    WHERE c.source IN (SELECT unnest($sources))
    GROUP BY c.source_id
)
SELECT u.source, u.mapping, count(*) AS records
FROM lake.events.quarantine AS q
JOIN units AS u ON u.source_id = q.source_id
WHERE q.event_id NOT IN (SELECT r.event_id FROM lake.events.recycling AS r)
GROUP BY u.source, u.mapping
ORDER BY u.source, u.mapping
