-- Inserts {n} usage records of three days straight into the log, and charges for all but one in forty of the records. One charge in
-- fifty bills one unit too much. The phone numbers are from an unassigned range. Records {low} to {high} are inserted.
INSERT INTO lake.events.{stream} (
    event_id, canonical_version, source_id, source_row, source_offset, source_length, bucket, day, key_scope, record_key,
    session_key, service, subscriber, peer, direction, node, started_at, quantity_micros{extra_names}
)
SELECT
    unhex(md5('{stream}' || i)), 1, '{stream}@{low}', i, i * 100, 99, (md5_number(subscriber) % 64)::SMALLINT AS b,
    started_at::DATE, '{stream}', '{stream}' || i, 'S' || i, 'voice', subscriber, '99899' || (i * 7919 % 100003), 'out',
    'MSC' || (i % 9), started_at, (i % 600) * 1000000{extra_values}
FROM (
    SELECT i, '99911' || (i * 31337 % 100000) AS subscriber,
           TIMESTAMPTZ '2024-05-01 00:00:00+00' + to_microseconds((i * 259200000000.0 / {n})::BIGINT) AS started_at
    FROM range({low}, {high}) t(i)
    WHERE '{stream}' = 'usage' OR i % 40 <> 3
)
ORDER BY b
