-- Records of the same bucket key at a time that is in an interval of `reached` ($untimed: and those without any time), of a service
-- in `services` or with a session key: a session takes its service from one record and stands at the time of another.
-- The intervals of one bucket key are apart, so that each record is asked of one only, however many of its key there are.
WITH mine AS (
    {records}
    AND (e.session_key IS NOT NULL OR EXISTS (SELECT 1 FROM services s WHERE s.service IS NOT DISTINCT FROM e.service))
    AND (e.day BETWEEN $from_day AND $to_day OR ($untimed AND e.day IS NULL))
)
SELECT r.* EXCLUDE (own_time, scope)
FROM mine r
ASOF JOIN reached k ON r.bucket = k.bucket AND r.scope = k.scope AND epoch_us(r.own_time) >= k.low_us
WHERE epoch_us(r.own_time) <= k.high_us
UNION ALL
SELECT r.* EXCLUDE (own_time, scope)
FROM mine r
SEMI JOIN reached k ON r.bucket = k.bucket AND r.scope = k.scope
WHERE $untimed AND r.own_time IS NULL
