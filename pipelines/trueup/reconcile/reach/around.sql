-- Records that could touch one of `reached` directly, of one stream. Grain: one row per accepted record. Owner: reconcile.
--   keyed   of a session key reached, or another content of a record reached
--   near    at an instant of an interval of `near`, of a service matched so or with a session key
--   summed  the same of `summed`, where those without any time count as well
-- A session takes its service from one record and stands at the time of another: hence any with a session key. All that could
-- touch is of a bucket key that is reached. Other keys are left away first: what is asked of intervals has to be sorted. The
-- intervals of one bucket key are apart, so that each record is asked of one only, however many of its key there are.
-- All three are materialized: what DuckDB knows of a join it would else ask of a frame, which cannot filter its kind of strings.
WITH known AS MATERIALIZED (SELECT * FROM reached),
    beside AS MATERIALIZED (SELECT * FROM near),
    within AS MATERIALIZED (SELECT * FROM summed)
SELECT *
FROM (
    SELECT r.* EXCLUDE (own_time, scope, named_near, named_summed),
        EXISTS (
            SELECT 1 FROM known k WHERE k.bucket = r.bucket AND k.scope = r.scope AND k.session_key = r.session_key
        ) OR EXISTS (
            SELECT 1 FROM known k
            WHERE k.charge = $charge AND k.bucket = r.bucket AND k.scope = r.scope AND k.key_scope = r.key_scope
                AND k.record_key = r.record_key
        ) AS keyed,
        named_near AND coalesce(epoch_us(r.own_time) <= n.high_us, false) AS near,
        named_summed AND coalesce(epoch_us(r.own_time) <= s.high_us, r.own_time IS NULL AND EXISTS (
            SELECT 1 FROM within k WHERE k.bucket = r.bucket AND k.scope = r.scope
        )) AS summed
    FROM (
        SELECT e.*,
            e.session_key IS NOT NULL OR coalesce(list_contains($near_names::VARCHAR[], e.service), false) <> $near_others AS named_near,
            e.session_key IS NOT NULL OR coalesce(list_contains($summed_names::VARCHAR[], e.service), false) <> $summed_others AS named_summed
        FROM ({records}) e
        SEMI JOIN known k ON e.bucket = k.bucket AND e.scope = k.scope
    ) r
    ASOF LEFT JOIN beside n ON r.bucket = n.bucket AND r.scope = n.scope AND epoch_us(r.own_time) >= n.low_us
    ASOF LEFT JOIN within s ON r.bucket = s.bucket AND r.scope = s.scope AND epoch_us(r.own_time) >= s.low_us
)
WHERE keyed OR near OR summed
