-- The charges of a subscriber in a span of time, each with its usage by session key and its findings. Usage that a finding reports
-- as unbilled is included. Superseded contents of charges and usage records are left out.
-- Grain: one row per charge, or per finding about usage without a charge.
WITH candidates AS MATERIALIZED (
    SELECT c.* FROM lake.events.charge c
    WHERE c.subscriber = $subscriber AND coalesce(c.started_at, c.billed_at) >= $begin AND coalesce(c.started_at, c.billed_at) < $end
        AND c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
candidate_usage AS MATERIALIZED (
    SELECT u.event_id, any_value(u.session_key) AS session_key, any_value(u.quantity_micros) AS quantity_micros
    FROM lake.events.usage u
    WHERE u.session_key IN (SELECT c.session_key FROM candidates c)
        AND u.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY u.event_id
),
touched AS (
    SELECT DISTINCT k.content_key
    FROM steps.record_content k
    WHERE k.is_delivered AND k.event_id IN (SELECT c.event_id FROM candidates c UNION ALL SELECT u.event_id FROM candidate_usage u)
),
-- A restated record may have another time or session key, so all contents of the record are compared.
superseded AS (
    SELECT k.event_id
    FROM steps.record_content k
    SEMI JOIN touched t ON t.content_key = k.content_key
    QUALIFY k.is_delivered AND rank() OVER (PARTITION BY k.content_key ORDER BY k.precedence DESC) > 1
),
own_charge AS (
    SELECT DISTINCT ON (c.event_id) c.* FROM candidates c ANTI JOIN superseded o ON o.event_id = c.event_id
),
own_usage AS (
    SELECT u.session_key, sum(u.quantity_micros) AS quantity_micros
    FROM candidate_usage u
    ANTI JOIN superseded o ON o.event_id = u.event_id
    GROUP BY u.session_key
),
known AS MATERIALIZED (
    SELECT
        f.finding_id, f.kind, f.status, f.impact, f.impact_micros, f.reason, f.started_at, f.service, f.peer, f.currency, f.usage_event_id,
        f.charge_event_id
    FROM main.findings f
    WHERE f.subscriber = $subscriber AND f.status NOT IN ('resolved', 'retracted')
),
about AS (
    SELECT r.event_id, list(struct_pack(
        finding_id := f.finding_id, kind := f.kind, status := f.status, impact := f.impact, reason := f.reason
    ) ORDER BY f.finding_id) AS findings
    FROM main.finding_records r
    JOIN known f ON f.finding_id = r.finding_id
    WHERE r.stream = 'charge'
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
FROM known f
WHERE f.charge_event_id IS NULL AND f.usage_event_id IS NOT NULL AND f.impact_micros <> 0 AND f.started_at >= $begin AND f.started_at < $end
ORDER BY 1, event_id
