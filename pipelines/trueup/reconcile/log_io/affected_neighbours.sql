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
    beside AS MATERIALIZED (SELECT * FROM near),
    within AS MATERIALIZED (SELECT * FROM summed)
SELECT *
FROM (
    SELECT r.* EXCLUDE (own_time, scope, since_us, named_near, named_summed),
        s.bucket IS NOT NULL OR d.bucket IS NOT NULL AS keyed,
        named_near AND coalesce(since_us <= n.upto_us OR since_us >= n.from_us, false) AS near,
        named_summed AND w.bucket IS NOT NULL AND coalesce(since_us <= w.upto_us OR since_us >= w.from_us, true) AS summed
    FROM (
        SELECT e.*,
            epoch_us(e.own_time) + $offset_us AS since_us,
            e.session_key IS NOT NULL OR coalesce(list_contains($near_names::VARCHAR[], e.service), false) <> $near_others AS named_near,
            e.session_key IS NOT NULL OR coalesce(list_contains($summed_names::VARCHAR[], e.service), false) <> $summed_others AS named_summed
        FROM ({records}) e
        SEMI JOIN known k ON e.bucket = k.bucket AND e.scope = k.scope
    ) r
    LEFT JOIN (SELECT DISTINCT bucket, scope, session_key FROM known) s
        ON r.bucket = s.bucket AND r.scope = s.scope AND r.session_key = s.session_key
    LEFT JOIN (SELECT DISTINCT bucket, scope, key_scope, record_key FROM known WHERE charge = $charge) d
        ON r.bucket = d.bucket AND r.scope = d.scope AND r.key_scope = d.key_scope AND r.record_key = d.record_key
    LEFT JOIN beside n ON r.bucket = n.bucket AND r.scope = n.scope AND r.since_us // $near_us = n.block
    LEFT JOIN within w ON r.bucket = w.bucket AND r.scope = w.scope AND coalesce(r.since_us // $summed_us, $untimed) = w.block
)
WHERE keyed OR near OR summed
