-- Records of the same bucket key within $apart_us of one reached already, of a service in `services`.
SELECT r.* EXCLUDE (own_time, scope)
FROM ({records} AND e.service IN (SELECT service FROM services) AND e.day BETWEEN $from_day AND $to_day) r
SEMI JOIN reached k
ON r.bucket = k.bucket AND r.scope = k.scope AND abs(epoch_us(r.own_time) - k.time_us) <= $apart_us
