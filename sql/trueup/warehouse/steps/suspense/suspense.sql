-- Usage and charges in quarantine, with the values that the mapping could read. Records that were mapped again, or that their feed
-- delivered again, are left out.
-- Grain: one row per rejected record. Owner: warehouse.
-- A record without a readable time lies within the times of its unit. A unit that was refused as a whole lies between the units
-- around it.
WITH parts AS (
    SELECT
        c.source_id, c.source, c.records, c.first_time, c.last_time, c.taken_at,
        max(c.last_time) OVER (PARTITION BY c.source ORDER BY c.sequence_no ROWS UNBOUNDED PRECEDING) AS newest_time
    FROM lake.events.control c
    -- Only feeds with records in quarantine are read.
    WHERE
        c.source IN (SELECT q.source FROM lake.events.quarantine q)
        AND c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
units AS (
    SELECT
        p.source_id, any_value(p.source) AS source, CAST(sum(p.records) AS BIGINT) AS records,
        coalesce(min(p.first_time), min(p.newest_time)) AS first_time, coalesce(max(p.last_time), max(p.taken_at)) AS last_time
    FROM parts p
    GROUP BY p.source_id
),
accepted AS (
    SELECT 'usage' AS stream, u.record_key, u.subscriber, u.snapshot_id, u.source_id FROM lake.events.usage u
    UNION ALL
    SELECT 'charge', c.record_key, c.subscriber, c.snapshot_id, c.source_id FROM lake.events.charge c
),
delivered_again AS (
    -- Rejected records that their feed later delivered again as valid records.
    SELECT DISTINCT q.event_id
    FROM lake.events.quarantine q
    JOIN accepted a ON a.stream = q.stream AND a.record_key = q.record_key AND a.snapshot_id > q.snapshot_id
    JOIN lake.events.control c ON c.source_id = a.source_id AND c.source = q.source
    WHERE
        coalesce(a.subscriber = q.subscriber, TRUE)
        AND a.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
)
SELECT
    q.event_id,                                   -- id of the rejected record, 16 bytes
    q.stream,                                     -- usage or charge
    q.source,                                     -- the feed's name in trueup.toml
    q.source_id,                                  -- source unit of the record
    u.records AS unit_records,                    -- number of records of the source unit
    q.snapshot_id,                                -- snapshot of the commit
    q.record_key,                                 -- this column and those up to currency: NULL where the value is not readable
    q.account,                                    -- as mapped
    q.service,                                    -- as mapped
    q.subscriber,                                 -- as mapped
    q.peer,                                       -- as mapped
    q.session_key,                                -- as mapped
    q.quantity_micros,                            -- as mapped
    q.amount_micros,                              -- as mapped, of a charge
    q.currency,                                   -- currency of the amount
    q.own_time IS NOT NULL AS is_timed,           -- whether the time of the record is readable
    coalesce(q.own_time, u.first_time) AS from_time, -- time of the record, or the least possible time, UTC; NULL where any earlier time is possible
    coalesce(q.own_time, u.last_time) AS until_time -- time of the record, or the greatest possible time, UTC
FROM lake.events.quarantine q
JOIN units u ON u.source_id = q.source_id
WHERE
    q.stream IN ('usage', 'charge') AND q.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    AND NOT EXISTS (
        FROM lake.events.recycling r
        WHERE r.event_id = q.event_id AND r.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    )
    AND q.event_id NOT IN (FROM delivered_again)
