-- Records of the same bucket key at a time that is in an interval of `reached` ($untimed: and those without any time), of a service
-- in `services` or with a session key: a session takes its service from one record and stands at the time of another.
-- The intervals of one bucket key are apart, so that each record is asked of one only, however many of its key there are. Other
-- keys are left away first: what is asked of intervals has to be sorted.
SELECT r.* EXCLUDE (own_time, scope)
FROM (
    SELECT e.*
    FROM (
        {records}
        AND (e.session_key IS NOT NULL OR EXISTS (SELECT 1 FROM services s WHERE s.service IS NOT DISTINCT FROM e.service))
        AND (e.day BETWEEN $from_day AND $to_day OR ($untimed AND e.day IS NULL))
    ) e
    SEMI JOIN reached k ON e.bucket = k.bucket AND e.scope = k.scope
) r
ASOF LEFT JOIN reached k ON r.bucket = k.bucket AND r.scope = k.scope AND epoch_us(r.own_time) >= k.low_us
WHERE coalesce(epoch_us(r.own_time) <= k.high_us, $untimed AND r.own_time IS NULL)
