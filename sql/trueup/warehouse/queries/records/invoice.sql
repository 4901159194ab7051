-- One invoice or credit note, with its file and position.
SELECT
    e.* EXCLUDE (event_id, canonical_version, bucket, day, net_micros, tax_micros, total_micros),
    steps.micros_as_money(e.net_micros) AS net, steps.micros_as_money(e.tax_micros) AS tax, steps.micros_as_money(e.total_micros) AS total,
    lower(hex(e.event_id)) AS event_id, u.source, u.path, p.position, p.committed_at AS taken_at
FROM lake.events.invoice e
LEFT JOIN lake.events.position p ON p.snapshot_id = e.snapshot_id
LEFT JOIN (
    SELECT c.source_id, any_value(c.source) AS source, any_value(c.path) AS path FROM lake.events.control c GROUP BY c.source_id
) u ON u.source_id = e.source_id
WHERE e.event_id = unhex($event_id)
