-- Contents in the log of the records of a part (`part`: record_key, of one key scope). Grain: one event. Owner: collect.
-- {columns} and {scope} are replaced by the columns of a moved content and the bucket key. {item} is replaced by whether the charge
-- is of an item.
-- A content may be of any day, so the query reads the record keys of the whole stream. It runs only for sources with versions.
-- `names` is materialized: DuckDB would otherwise push join filters into the frame, which cannot filter its strings.
WITH names AS MATERIALIZED (SELECT * FROM part)
SELECT e.event_id, e.bucket, {columns}, {scope} AS scope, {item} AS is_item, p.position AS delivered_at
FROM lake.events.{stream} AS e
SEMI JOIN names AS n ON n.record_key = e.record_key
JOIN lake.events.position AS p ON p.snapshot_id = e.snapshot_id
WHERE e.key_scope = $key_scope
