-- Units of some sources with records in quarantine that no recycling has mapped again, with the mapping that rejected the records.
-- With $reason, only records of that reason count. Grain: one unit, or one recycling of a unit. Owner: collect.
WITH units AS (
    SELECT
        c.source_id, any_value(c.source) AS source, any_value(c.path) AS path, any_value(c.sha256) AS sha256,
        max(c.bytes) AS size_bytes, any_value(c.recycles) AS recycles, any_value(c.mapping) AS mapping
    FROM lake.events.control AS c
    WHERE c.source IN (SELECT unnest($sources))
    GROUP BY c.source_id
    HAVING sum(c.quarantined) > 0
)
SELECT
    u.source,
    u.source_id,                                  -- the unit, or recycling of a unit, that the rejected records are of
    coalesce(u.recycles, u.source_id) AS delivered_id, -- the unit that delivered the records
    u.path,
    u.sha256,
    u.size_bytes,
    u.mapping,                                    -- id of the mapping that rejected the records; NULL where none was recorded
    count(*) AS records,
    count(*) FILTER (q.reason = 'time_out_of_range') AS records_out_of_range
FROM lake.events.quarantine AS q
JOIN units AS u ON u.source_id = q.source_id
WHERE ($reason IS NULL OR q.reason = $reason) AND q.event_id NOT IN (SELECT r.event_id FROM lake.events.recycling AS r)
GROUP BY ALL
ORDER BY u.source, delivered_id, u.source_id
