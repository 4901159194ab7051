-- The charges of a subscriber in a span of time, each with its usage by session key and its findings. Usage that a finding reports
-- as unbilled is included.
-- Grain: one row per charge, or per finding about usage without a charge.
WITH own_charge AS (
    SELECT c.* FROM lake.events.charge c
    WHERE c.subscriber = $subscriber AND coalesce(c.started_at, c.billed_at) >= $begin AND coalesce(c.started_at, c.billed_at) < $end
        AND c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
        -- A later version of the record under another bucket key withdraws the charge.
        AND NOT EXISTS (
            SELECT 1
            FROM lake.events.moved m
            WHERE m.stream = 'charge' AND m.key_scope = c.key_scope AND m.record_key = c.record_key AND m.event_id <> c.event_id
                AND (m.record_version > c.record_version OR (m.record_version IS NOT NULL AND c.record_version IS NULL))
                AND m.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
        )
    QUALIFY row_number() OVER (PARTITION BY c.key_scope, c.record_key ORDER BY c.record_version DESC NULLS LAST, c.snapshot_id, c.event_id) = 1
),
own_usage AS (
    SELECT u.session_key, count(DISTINCT u.event_id) AS records, sum(u.quantity_micros) AS quantity_micros
    FROM (
        SELECT u.event_id, any_value(u.session_key) AS session_key, any_value(u.quantity_micros) AS quantity_micros
        FROM lake.events.usage u
        WHERE u.session_key IN (SELECT c.session_key FROM own_charge c)
            AND u.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
        GROUP BY u.event_id
    ) u
    GROUP BY u.session_key
),
about AS (
    SELECT r.event_id, list(struct_pack(
        finding_id := f.finding_id, kind := f.kind, status := f.status, impact := f.impact, reason := f.reason
    ) ORDER BY f.finding_id) AS findings
    FROM main.finding_records r
    JOIN main.findings f ON f.finding_id = r.finding_id AND f.status NOT IN ('resolved', 'retracted')
    WHERE f.subscriber = $subscriber AND r.stream = 'charge'
    GROUP BY r.event_id
)
SELECT
    coalesce(c.started_at, c.billed_at) AS at, c.service, c.peer, c.tariff_code, c.invoice_id, steps.micros_as_money(u.quantity_micros) AS used,
    steps.micros_as_money(c.quantity_micros) AS charged_quantity, steps.micros_as_money(c.amount_micros) AS amount, c.currency,
    coalesce(a.findings, []) AS findings, lower(hex(c.event_id)) AS event_id, true AS is_charged
FROM own_charge c
LEFT JOIN own_usage u ON u.session_key = c.session_key
LEFT JOIN about a ON a.event_id = lower(hex(c.event_id))
UNION ALL
SELECT
    f.started_at, f.service, f.peer, NULL, NULL, NULL, NULL, steps.micros_as_money(0), f.currency,
    [struct_pack(finding_id := f.finding_id, kind := f.kind, status := f.status, impact := f.impact, reason := f.reason)],
    f.usage_event_id, false
FROM main.findings f
WHERE f.subscriber = $subscriber AND f.charge_event_id IS NULL AND f.usage_event_id IS NOT NULL AND f.impact_micros <> 0
    AND f.status NOT IN ('resolved', 'retracted') AND f.started_at >= $begin AND f.started_at < $end
ORDER BY 1, event_id
