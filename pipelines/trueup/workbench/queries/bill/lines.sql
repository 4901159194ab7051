-- The usage and the charges of one subscriber, asked of the lake itself; what shares a session key is one line.
-- Grain: one row per line of the bill, in the order of time. Owner: workbench.
WITH used AS (
    SELECT
        coalesce(nullif(u.session_key, ''), lower(hex(u.event_id))) AS line, any_value(u.service) AS service, min(u.started_at) AS started_at,
        any_value(u.peer) AS peer, sum(u.quantity_micros) AS quantity_micros, count(*) AS records, min(lower(hex(u.event_id))) AS usage_event_id
    FROM lake.events.usage u
    WHERE u.subscriber = $subscriber AND u.started_at >= $from_time AND u.started_at < $to_time
    GROUP BY line
),
charged AS (
    SELECT
        coalesce(nullif(c.session_key, ''), lower(hex(c.event_id))) AS line, any_value(c.service) AS service,
        min(coalesce(c.started_at, c.billed_at)) AS started_at, any_value(c.peer) AS peer, sum(c.quantity_micros) AS quantity_micros,
        sum(c.amount_micros) AS amount_micros, any_value(c.currency) AS currency, any_value(c.tariff_code) AS tariff_code,
        any_value(c.invoice_id) AS invoice_id, count(*) AS records, min(lower(hex(c.event_id))) AS charge_event_id
    FROM lake.events.charge c
    WHERE c.subscriber = $subscriber AND coalesce(c.started_at, c.billed_at) >= $from_time AND coalesce(c.started_at, c.billed_at) < $to_time
    GROUP BY line
)
SELECT
    coalesce(u.started_at, c.started_at) AS started_at, coalesce(u.service, c.service) AS service, coalesce(u.peer, c.peer) AS peer,
    steps.micros_as_money(u.quantity_micros) AS used, steps.micros_as_money(c.quantity_micros) AS charged,
    steps.micros_as_money(c.amount_micros) AS amount, c.currency, c.tariff_code, c.invoice_id, coalesce(u.records, 0) AS usage_records,
    coalesce(c.records, 0) AS charges, u.usage_event_id, c.charge_event_id
FROM used u
FULL JOIN charged c ON c.line = u.line
ORDER BY coalesce(u.started_at, c.started_at), service, peer
LIMIT $most
