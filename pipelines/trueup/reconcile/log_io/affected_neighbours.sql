-- Records that could touch one of `reached` directly, of one stream. Grain: one row per accepted record. Owner: reconcile.
--   keyed   of a session key reached, or another content of a record reached
--   near    at an instant that `near` tells of, of a service matched so or with a session key
--   summed  the same of `summed`, where those without any time count as well
-- A session takes its service from one record and stands at the time of another: hence any with a session key. All that could
-- touch is of a bucket key that is reached. `near` and `summed` have a row for each block of time of a bucket key, so that each
-- record is asked of one only, however many of its key there are. All is equal joins with what is small: however many records
-- there are, they pass by.
-- The three are materialized: what DuckDB knows of a join it would else ask of a frame, which cannot filter its kind of strings.
WITH known AS MATERIALIZED (SELECT * FROM reached),
    beside AS MATERIALIZED (SELECT * FROM nearest_blocks),
    within AS MATERIALIZED (SELECT * FROM aggregate_blocks)
SELECT *
FROM (
    SELECT r.* EXCLUDE (own_time, scope, instant_us, uses_nearest, uses_aggregate),
        s.bucket IS NOT NULL OR d.bucket IS NOT NULL AS by_key,
        uses_nearest AND coalesce(instant_us <= n.upto_us OR instant_us >= n.from_us, false) AS by_nearest,
        uses_aggregate AND w.bucket IS NOT NULL AND coalesce(instant_us <= w.upto_us OR instant_us >= w.from_us, true) AS by_aggregate
    FROM (
        SELECT e.*,
            epoch_us(e.own_time) + $offset_us AS instant_us,
            e.session_key IS NOT NULL OR coalesce(list_contains($nearest_names::VARCHAR[], e.service), false) <> $nearest_others AS uses_nearest,
            e.session_key IS NOT NULL OR coalesce(list_contains($aggregate_names::VARCHAR[], e.service), false) <> $aggregate_others AS uses_aggregate
        FROM ({records}) e
        SEMI JOIN known k ON e.bucket = k.bucket AND e.scope = k.scope
    ) r
    LEFT JOIN (SELECT DISTINCT bucket, scope, session_key FROM known) s
        ON r.bucket = s.bucket AND r.scope = s.scope AND r.session_key = s.session_key
    LEFT JOIN (SELECT DISTINCT bucket, scope, key_scope, record_key FROM known WHERE charge = $charge) d
        ON r.bucket = d.bucket AND r.scope = d.scope AND r.key_scope = d.key_scope AND r.record_key = d.record_key
    LEFT JOIN beside n ON r.bucket = n.bucket AND r.scope = n.scope AND r.instant_us // $nearest_us = n.block
    LEFT JOIN within w ON r.bucket = w.bucket AND r.scope = w.scope AND coalesce(r.instant_us // $aggregate_us, $untimed) = w.block
)
WHERE by_key OR by_nearest OR by_aggregate
