-- Usage of `services`, which share free units or tiers, under the bucket key and between the instants of a row of `reached`.
-- Grain: one row per accepted record. Owner: reconcile.
SELECT r.* EXCLUDE (own_time, scope)
FROM ({records} AND e.service IN (SELECT s.service FROM services s) AND e.day BETWEEN $from_day AND $to_day) r
SEMI JOIN reached k
ON r.bucket = k.bucket AND r.scope = k.scope AND epoch_us(r.own_time) BETWEEN k.low_us AND k.high_us
