-- Records that positions after $after_snapshot can affect by themselves. Grain: one row per accepted record. Owner: reconcile.
-- Such records are new, may still be passed by a stream, have new prices ($prices_from), or have a new state of their subscription
-- (`changed`). Records without any time also count until their closing is settled (`untimed`: source and the snapshot up to which
-- it is settled).
-- `changed` is materialized: DuckDB would otherwise push join filters into the frame, which cannot filter its strings.
WITH changed AS MATERIALIZED (SELECT * FROM changed_subscribers),
-- Sessions of several records that last until a price change only when their records are taken together.
lasting AS MATERIALIZED (
    SELECT u.bucket, u.session_key
    FROM lake.events.usage u
    WHERE u.session_key IS NOT NULL AND u.day >= $lasting_from AND u.snapshot_id <= $upto_snapshot
    GROUP BY u.bucket, u.session_key
    HAVING count(*) > 1
        AND max(u.started_at) + to_microseconds(CAST(least(
            sum(greatest(0, least(coalesce(u.quantity_micros, 0), $longest_us))), $longest_us
        ) AS BIGINT)) >= $prices_from
)
SELECT r.* EXCLUDE (own_time, scope)
FROM ({records}
  AND ($from_day IS NULL OR e.day IS NULL OR e.day BETWEEN $from_day AND $to_day)
  AND (
      e.snapshot_id > $after_snapshot
      OR (e.day >= $open_day AND {time} >= $open_from)
      OR {time} + to_microseconds(greatest(0, least(coalesce(e.quantity_micros, 0), $longest_us))) >= $prices_from
      OR EXISTS (SELECT 1 FROM lasting l WHERE l.bucket = e.bucket AND l.session_key = e.session_key)
      OR EXISTS (SELECT 1 FROM changed c WHERE c.subscriber = e.subscriber AND epoch_us({time}) >= c.from_us)
      OR (e.day IS NULL AND e.snapshot_id > coalesce((SELECT max(u.settled) FROM untimed u WHERE starts_with(e.source_id, u.source || '@')), 0))
  )) r
