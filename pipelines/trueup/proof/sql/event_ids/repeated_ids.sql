-- Events that a table has more than once, of the ids from $low up to, not including, $high. Grain: one id. Owner: proof.
SELECT e.event_id, count(*) AS rows, min(e.source_id) AS source_id, {record_key} AS record_key
FROM lake.events.{table} AS e
WHERE e.event_id >= $low AND ($high IS NULL OR e.event_id < $high)
GROUP BY e.event_id
HAVING count(*) > 1
