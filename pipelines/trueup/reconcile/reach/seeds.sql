-- Records that positions after $after_snapshot could touch by themselves: those that came then, those that a stream may still
-- pass, those without any time whose closing is not yet settled ($untimed: source and the snapshot it is settled up to).
SELECT r.* EXCLUDE (own_time, scope)
FROM ({records}
  AND ($from_day IS NULL OR e.day IS NULL OR e.day BETWEEN $from_day AND $to_day)
  AND (
      e.snapshot_id > $after_snapshot
      OR (e.day >= $open_day AND {time} >= $open_from)
      OR (e.day IS NULL AND e.snapshot_id > coalesce((SELECT max(u.settled) FROM untimed u WHERE starts_with(e.source_id, u.source || '@')), 0))
  )) r
