-- Rejected records, with their bytes.
-- Grain: one row per rejected record. Owner: warehouse.
WITH units AS (
    SELECT c.source_id, any_value(c.path) AS path FROM lake.events.control c GROUP BY c.source_id
),
recycled AS (
    SELECT r.event_id, min(p.position) AS position, any_value(r.outcome) AS outcome
    FROM lake.events.recycling r
    JOIN lake.events.position p ON p.snapshot_id = r.snapshot_id
    WHERE r.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY r.event_id
)
SELECT
    lower(hex(q.event_id)) AS event_id,           -- id in lower-case hex: a hash of unit and record number
    q.source,                                     -- the feed's name in trueup.toml
    q.stream,                                     -- usage, charge, subscriber or tariff
    u.path,                                       -- the file that the record was read from
    q.source_id,                                  -- the source unit, as in source_units
    q.source_row,                                 -- record number in the unit, from 0
    q.source_offset,                              -- first byte of the record in the decompressed unit
    q.source_length,                              -- length of the record in bytes
    q.reason,                                     -- unparsable, missing_required, bad_time, value_out_of_range, …
    q.rule,                                       -- the rule that rejected the record, and the column
    TRY(decode(q.raw)) AS record,                 -- the record as text; NULL where its bytes are not UTF-8
    q.raw,                                        -- the original bytes of the record
    p.position,                                   -- the position of the commit
    p.committed_at AS taken_at,                   -- when the record was committed, UTC
    q.record_key,                                 -- this column and those up to currency: the value that the mapping read from the record; NULL where it could read none
    q.session_key,                                -- as mapped
    q.account,                                    -- as mapped
    q.service,                                    -- as mapped
    q.subscriber,                                 -- as mapped
    q.peer,                                       -- as mapped
    q.own_time,                                   -- started_at; of a charge without it, billed_at; of a subscription, valid_from; UTC
    q.quantity_micros,                            -- as mapped
    steps.micros_as_money(q.amount_micros) AS amount, -- as mapped, of a charge
    q.currency,                                   -- currency of the amount
    e.position AS recycled_position,              -- the position at which the record was mapped again; NULL while the record is in quarantine
    e.outcome AS recycled_outcome                 -- accepted, duplicate, filtered or quarantined (then with a new row)
FROM lake.events.quarantine q
JOIN lake.events.position p ON p.snapshot_id = q.snapshot_id
LEFT JOIN units u ON u.source_id = q.source_id
LEFT JOIN recycled e ON e.event_id = q.event_id
WHERE q.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
