-- Phantom charges with usage of the same subscriber close in time, or with a key that the log already has.
-- Grain: one phantom charge (row_no). Owner: simulate.
SELECT m.row_no
FROM candidates m
JOIN lake.events.usage u
    ON u.subscriber IS NOT DISTINCT FROM m.subscriber
    AND u.started_at BETWEEN m.started_at - to_microseconds($tolerance_us) AND m.started_at + to_microseconds($tolerance_us)
WHERE $tolerance_us > 0
UNION
SELECT m.row_no FROM candidates m JOIN lake.events.usage u ON u.session_key = m.session_key
UNION
SELECT m.row_no FROM candidates m JOIN lake.events.charge c ON c.session_key = m.session_key OR c.record_key = m.record_key
