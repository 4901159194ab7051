-- Rows of `moved` of one stream that differ from the rows that follow from the events, and rows that are missing.
-- Grain: one content of a record and one other bucket key of the record. Owner: proof.
-- Each content is copied to every other bucket key of its record. Its position there is its own or that of the key's first content,
-- whichever is later. {columns} is replaced by the copied columns, {scope} by the bucket key, and {item} by whether a charge is of
-- an item.
WITH stored AS (
    SELECT m.event_id, m.bucket_key, m.item IS NOT NULL AS is_item, count(*) AS copies, any_value(m.bucket) AS bucket,
        any_value(m.delivered_key) AS delivered_key, any_value(m.delivered_at) AS delivered_at, any_value(p.position) AS position,
        any_value(struct_pack({stored_columns})) AS content
    FROM lake.events.moved AS m
    LEFT JOIN lake.events.position AS p ON p.snapshot_id = m.snapshot_id
    WHERE m.stream = $stream
    GROUP BY m.event_id, m.bucket_key, is_item
),
named AS (
    SELECT DISTINCT m.key_scope, m.record_key, m.item IS NOT NULL AS is_item FROM lake.events.moved AS m WHERE m.stream = $stream
),
contents AS MATERIALIZED (
    SELECT e.event_id, e.key_scope, e.record_key, n.is_item, {scope} AS scope, e.bucket, min(p.position) AS position,
        any_value(struct_pack({columns})) AS content
    FROM lake.events.{stream} AS e
    JOIN named AS n ON n.key_scope = e.key_scope AND n.record_key = e.record_key AND n.is_item = ({item})
    JOIN lake.events.position AS p ON p.snapshot_id = e.snapshot_id
    GROUP BY ALL
),
keys AS (
    SELECT c.key_scope, c.record_key, c.is_item, c.scope AS bucket_key, any_value(c.bucket) AS bucket, min(c.position) AS first_position
    FROM contents AS c
    GROUP BY ALL
),
made AS (
    SELECT c.event_id, c.record_key, k.bucket_key, c.is_item, k.bucket, c.scope AS delivered_key,
        CASE WHEN c.position < k.first_position THEN c.position END AS delivered_at, greatest(c.position, k.first_position) AS position,
        c.content
    FROM contents AS c
    JOIN keys AS k ON k.key_scope = c.key_scope AND k.record_key = c.record_key AND k.is_item = c.is_item AND k.bucket_key <> c.scope
)
SELECT
    coalesce(s.event_id, m.event_id) AS event_id, coalesce(s.bucket_key, m.bucket_key) AS bucket_key,
    coalesce(m.record_key, s.content.record_key) AS record_key, s.event_id IS NULL AS is_missing, m.event_id IS NULL AS is_unexplained,
    s.copies
FROM stored AS s
FULL JOIN made AS m ON m.event_id = s.event_id AND m.bucket_key = s.bucket_key AND m.is_item = s.is_item
WHERE s.event_id IS NULL OR m.event_id IS NULL OR s.copies > 1 OR s.bucket IS DISTINCT FROM m.bucket
    OR s.delivered_key IS DISTINCT FROM m.delivered_key OR s.delivered_at IS DISTINCT FROM m.delivered_at
    OR s.position IS DISTINCT FROM m.position OR s.content IS DISTINCT FROM m.content
ORDER BY event_id, bucket_key
