-- One event of the log, with its file and position.
WITH events AS (
    SELECT
        'usage' AS stream, u.event_id, u.snapshot_id, u.source_id, u.source_row, u.source_offset, u.source_length, u.record_key, u.session_key,
        u.account, u.service, u.subscriber, u.peer, u.direction, u.node, u.cell, u.started_at, u.quantity_micros, u.partial_no, u.record_version,
        NULL AS amount_micros, NULL AS currency, NULL AS tariff_code, NULL AS invoice_id, NULL AS billed_at, NULL AS item, NULL AS period_from, NULL AS period_to, NULL AS corrects,
        u.attributes
    FROM lake.events.usage u
    WHERE u.event_id = unhex($event_id)
    UNION ALL
    SELECT
        'charge', c.event_id, c.snapshot_id, c.source_id, c.source_row, c.source_offset, c.source_length, c.record_key, c.session_key,
        c.account, c.service, c.subscriber, c.peer, c.direction, c.node, c.cell, c.started_at, c.quantity_micros, c.partial_no, c.record_version,
        c.amount_micros, c.currency, c.tariff_code, c.invoice_id, c.billed_at, c.item, c.period_from, c.period_to, c.corrects,
        c.attributes
    FROM lake.events.charge c
    WHERE c.event_id = unhex($event_id)
    UNION ALL
    SELECT
        'stage', g.event_id, g.snapshot_id, g.source_id, g.source_row, g.source_offset, g.source_length, g.record_key, g.session_key,
        g.account, g.service, g.subscriber, g.peer, g.direction, g.node, g.cell, g.started_at, g.quantity_micros, g.partial_no, g.record_version,
        g.amount_micros, g.currency, g.tariff_code, g.invoice_id, g.billed_at, NULL, NULL, NULL, NULL,
        g.attributes
    FROM lake.events.stage g
    WHERE g.event_id = unhex($event_id)
)
SELECT
    e.* EXCLUDE (event_id, snapshot_id, quantity_micros, amount_micros), lower(hex(e.event_id)) AS event_id,
    steps.micros_as_money(e.quantity_micros) AS quantity, steps.micros_as_money(e.amount_micros) AS amount,
    u.source, u.path, p.position, p.committed_at AS taken_at
FROM events e
LEFT JOIN lake.events.position p ON p.snapshot_id = e.snapshot_id
LEFT JOIN (
    SELECT c.source_id, any_value(c.source) AS source, any_value(c.path) AS path FROM lake.events.control c GROUP BY c.source_id
) u ON u.source_id = e.source_id
