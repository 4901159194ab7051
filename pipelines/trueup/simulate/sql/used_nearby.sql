-- Made-up charges that some usage of their subscriber lies close to in time, or that carry a key the log has.
-- Grain: one made-up charge (row_no). Owner: simulate.
SELECT m.row_no
FROM made m
JOIN lake.events.usage u
    ON u.subscriber IS NOT DISTINCT FROM m.subscriber
    AND u.started_at BETWEEN m.started_at - to_microseconds($apart_us) AND m.started_at + to_microseconds($apart_us)
WHERE $apart_us > 0
UNION
SELECT m.row_no FROM made m JOIN lake.events.usage u ON u.session_key = m.session_key
UNION
SELECT m.row_no FROM made m JOIN lake.events.charge c ON c.session_key = m.session_key OR c.record_key = m.record_key
