-- Record keys that several events of a stream share. Such a key does not identify one record.
-- Grain: one row per stream and key. Owner: simulate.
SELECT false AS charge, u.record_key FROM lake.events.usage u GROUP BY u.record_key HAVING count(*) > 1
UNION ALL
SELECT true, c.record_key FROM lake.events.charge c GROUP BY c.record_key HAVING count(*) > 1
