-- Records of the same bucket key within $apart_us of one reached already ($untimed: and those without any time), of a service in
-- `services` or with a session key: a session takes its service from one record and stands at the time of another.
SELECT r.* EXCLUDE (own_time, scope)
FROM (
    {records}
    AND (e.session_key IS NOT NULL OR EXISTS (SELECT 1 FROM services s WHERE s.service IS NOT DISTINCT FROM e.service))
    AND (e.day BETWEEN $from_day AND $to_day OR ($untimed AND e.day IS NULL))
) r
SEMI JOIN reached k
ON r.bucket = k.bucket AND r.scope = k.scope AND coalesce(abs(epoch_us(r.own_time) - k.time_us) <= $apart_us, $untimed)
