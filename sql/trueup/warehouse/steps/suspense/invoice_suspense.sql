-- Invoices in quarantine that no recycling has mapped again and that their feed has not delivered again.
-- Grain: one row per rejected record. Owner: warehouse.
SELECT
    q.event_id,                                   -- 16 bytes
    q.account,                                    -- as mapped; NULL where the account is not readable
    q.own_time AS billed_at                       -- as mapped; NULL where it is not readable
FROM lake.events.quarantine q
WHERE
    q.stream = 'invoice' AND q.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    AND NOT EXISTS (
        FROM lake.events.recycling r
        WHERE r.event_id = q.event_id AND r.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    )
    AND NOT EXISTS (
        FROM lake.events.invoice i
        JOIN lake.events.control c ON c.source_id = i.source_id
        WHERE
            i.record_key = q.record_key AND c.source = q.source AND i.snapshot_id > q.snapshot_id
            AND i.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    )
