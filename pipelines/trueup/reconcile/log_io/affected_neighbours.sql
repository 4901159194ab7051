-- Records of one stream that a record of `reached` can affect directly. Grain: one row per accepted record. Owner: reconcile.
--   by_key        of a session key in `reached`, another content of a record in `reached`, corrected by a charge in `reached`, or
--                 a charge that corrects a record in `reached`
--   by_nearest    at an instant of `nearest_blocks`, of a service matched by nearest or with a session key
--   by_aggregate  the same for `aggregate_blocks` and the aggregate match; records without any time count as well
-- The neighbour rule (blocking/neighbourhood.py): a session takes its service from one record and its time from another. So every
-- record with a session key is read, whatever its service. Only records of a bucket key in `reached` can be affected.
-- `nearest_blocks` and `aggregate_blocks` have one row per bucket key and block of time. So each record joins one row only, however
-- many instants its key has. All joins are equality joins with small tables, so the records are scanned once.
-- The three tables are materialized: DuckDB would otherwise push join filters into the frames, which cannot filter their strings.
WITH known AS MATERIALIZED (SELECT * FROM reached),
    nearest AS MATERIALIZED (SELECT * FROM nearest_blocks),
    aggregated AS MATERIALIZED (SELECT * FROM aggregate_blocks)
SELECT *
FROM (
    SELECT r.* EXCLUDE (own_time, scope, instant_us, uses_nearest, uses_aggregate),
        s.bucket IS NOT NULL OR d.bucket IS NOT NULL OR a.bucket IS NOT NULL OR b.bucket IS NOT NULL AS by_key,
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
    LEFT JOIN (SELECT DISTINCT bucket, scope, corrected_key FROM known WHERE corrected_key IS NOT NULL) a
        ON r.bucket = a.bucket AND r.scope = a.scope AND r.record_key = a.corrected_key
    LEFT JOIN (SELECT DISTINCT bucket, scope, record_key FROM known) b
        ON r.bucket = b.bucket AND r.scope = b.scope AND {corrected_key} = b.record_key
    LEFT JOIN nearest n ON r.bucket = n.bucket AND r.scope = n.scope AND r.instant_us // $nearest_us = n.block
    LEFT JOIN aggregated w ON r.bucket = w.bucket AND r.scope = w.scope AND coalesce(r.instant_us // $aggregate_us, $untimed) = w.block
)
WHERE by_key OR by_nearest OR by_aggregate
