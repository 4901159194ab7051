-- Contents of usage records and charges, and their order of precedence.
-- Grain: one row per content and bucket key of its record. Owner: warehouse.
-- Of several contents of a record, the one of greatest precedence counts. If that content has another bucket key, it withdraws the
-- record here. Of two contents of equal version, reconciliation keeps the first if one of them was late. Lateness is unknown here,
-- so the greater one counts.
SELECT
    'usage' AS stream,                            -- usage or charge
    u.event_id,                                   -- 16 bytes
    u.session_key,                                -- as in the record
    true AS is_delivered,                         -- whether the record was delivered with this bucket key; false for a content of another bucket key
    {
        'stream': 'usage', 'key_scope': u.key_scope, 'record_key': u.record_key, 'is_item': false,
        'bucket_key': CASE getvariable('bucket_by') WHEN 'subscriber' THEN coalesce(u.subscriber, '') WHEN 'account' THEN coalesce(u.account, '') ELSE '' END
    } AS content_key,                             -- equal for all contents of a record under one bucket key
    {
        'version': coalesce(u.record_version, -9223372036854775808), 'quantity': coalesce(u.quantity_micros, 0),
        'amount': CAST(0 AS BIGINT), 'event_id': u.event_id
    } AS precedence                               -- the greatest counts: first by version, then by quantity, amount and id
FROM lake.events.usage u
WHERE u.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
UNION ALL
SELECT
    'charge', c.event_id, c.session_key, true,
    {
        'stream': 'charge', 'key_scope': c.key_scope, 'record_key': c.record_key, 'is_item': c.item IS NOT NULL,
        'bucket_key': CASE getvariable('bucket_by') WHEN 'subscriber' THEN coalesce(c.subscriber, '') WHEN 'account' THEN coalesce(c.account, '') ELSE '' END
    },
    {
        'version': coalesce(c.record_version, -9223372036854775808), 'quantity': coalesce(c.quantity_micros, 0),
        'amount': coalesce(c.amount_micros, 0), 'event_id': c.event_id
    }
FROM lake.events.charge c
WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
UNION ALL
SELECT
    m.stream, m.event_id, m.session_key, false,
    {
        'stream': m.stream, 'key_scope': m.key_scope, 'record_key': m.record_key, 'is_item': m.item IS NOT NULL,
        'bucket_key': CASE WHEN getvariable('bucket_by') IN ('subscriber', 'account') THEN m.bucket_key ELSE '' END
    },
    {
        'version': coalesce(m.record_version, -9223372036854775808), 'quantity': coalesce(m.quantity_micros, 0),
        'amount': coalesce(m.amount_micros, 0), 'event_id': m.event_id
    }
FROM lake.events.moved m
WHERE m.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
