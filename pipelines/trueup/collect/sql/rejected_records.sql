-- Records of some sources in quarantine that no recycling has mapped again, with the unit that delivered them and the mapping that
-- rejected them. Grain: one record. Owner: collect.
WITH units AS (
    SELECT
        c.source_id, any_value(c.source) AS source, any_value(c.path) AS path, any_value(c.sha256) AS sha256,
        max(c.bytes) AS size_bytes, any_value(c.recycles) AS recycles, any_value(c.mapping) AS mapping
    FROM lake.events.control AS c
    WHERE c.source IN (SELECT unnest($sources))
    GROUP BY c.source_id
)
SELECT
    u.source, coalesce(u.recycles, u.source_id) AS source_id, u.path, u.sha256, u.size_bytes, u.mapping,
    q.event_id, q.source_row, q.source_offset, q.source_length, q.reason
FROM lake.events.quarantine AS q
JOIN units AS u ON u.source_id = q.source_id
WHERE q.event_id NOT IN (SELECT r.event_id FROM lake.events.recycling AS r)
ORDER BY u.source, source_id, q.source_row
