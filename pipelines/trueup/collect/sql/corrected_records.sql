-- The record that each finding named in `named` (source_row, corrects, scope) is about, within the bucket key of the charge that
-- names the finding.
-- Grain: one row per charge that names a finding. Owner: collect.
-- A finding is identified with its first usage record, or without usage with its first charge, as of its last change.
WITH wanted AS MATERIALIZED (
    SELECT n.source_row, n.scope, unhex(n.corrects) AS finding_id FROM named n WHERE regexp_full_match(n.corrects, '[0-9a-fA-F]{{32}}')
),
findings AS MATERIALIZED (
    SELECT f.finding_id, f.usage_event_ids[1] AS usage_id, f.charge_event_ids[1] AS charge_id
    FROM lake.events.finding f
    SEMI JOIN wanted w ON w.finding_id = f.finding_id
    QUALIFY row_number() OVER (PARTITION BY f.finding_id ORDER BY f.position DESC) = 1
),
records AS (
    SELECT f.finding_id, e.record_key, FALSE AS charge, {scope} AS scope
    FROM lake.events.usage e
    JOIN findings f ON f.usage_id = e.event_id
    UNION ALL
    SELECT f.finding_id, e.record_key, TRUE, {scope}
    FROM lake.events.charge e
    JOIN findings f ON f.usage_id IS NULL AND f.charge_id = e.event_id
)
SELECT w.source_row, any_value(r.record_key) AS corrected_key, any_value(r.charge) AS corrected_charge
FROM wanted w
JOIN records r ON r.finding_id = w.finding_id AND r.scope = w.scope
GROUP BY w.source_row
