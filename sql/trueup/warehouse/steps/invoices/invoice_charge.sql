-- Charges as lines of invoices; of several contents of one record the greatest (version, quantity, amount, id) counts.
-- Grain: one row per charge. Owner: warehouse.
WITH charges AS (
    SELECT
        c.event_id, c.record_version, c.quantity_micros, c.amount_micros, c.currency, c.invoice_id, c.account, c.subscriber, c.item,
        c.period_from, c.period_to, c.started_at, c.billed_at,
        hash(
            c.key_scope, c.record_key,
            CASE getvariable('bucket_by') WHEN 'subscriber' THEN coalesce(c.subscriber, '') WHEN 'account' THEN coalesce(c.account, '') ELSE '' END
        ) AS content_key
    FROM lake.events.charge c
    WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
contents AS (
    SELECT c.event_id, c.content_key, c.record_version, c.quantity_micros, c.amount_micros FROM charges c
    UNION ALL
    -- A content under another bucket key of the record withdraws the charge, as does a greater content under the same key.
    SELECT
        m.event_id,
        hash(m.key_scope, m.record_key, CASE WHEN getvariable('bucket_by') IN ('subscriber', 'account') THEN m.bucket_key ELSE '' END),
        m.record_version, m.quantity_micros, m.amount_micros
    FROM lake.events.moved m
    WHERE m.stream = 'charge' AND m.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
repeated AS MATERIALIZED (
    SELECT c.content_key FROM contents c GROUP BY c.content_key HAVING count(*) > 1
),
outranked AS MATERIALIZED (
    SELECT c.event_id, c.content_key
    FROM contents c
    SEMI JOIN repeated r ON r.content_key = c.content_key
    QUALIFY rank() OVER (
        PARTITION BY c.content_key
        ORDER BY c.record_version DESC NULLS LAST, c.quantity_micros DESC NULLS LAST, c.amount_micros DESC NULLS LAST, c.event_id DESC
    ) > 1
)
SELECT
    c.event_id,                                   -- 16 bytes
    c.invoice_id,                                 -- number of the invoice of the charge; NULL: none
    c.account,                                    -- as the charge names it
    c.subscriber,                                 -- as the charge names it
    c.item IS NULL AS is_usage,                   -- whether the charge is for usage rather than for an item
    c.started_at,                                 -- start of the charged usage
    -- The time by which the period of the invoice is chosen. A charge in arrears is billed after its period, so its time is the
    -- last instant of the period.
    if(c.item IS NOT NULL AND c.billed_at >= c.period_to, c.period_to - INTERVAL 1 MICROSECOND, coalesce(c.period_from, c.started_at, c.billed_at)) AS charged_at,
    c.currency,                                   -- currency of the amount
    c.amount_micros                               -- amount in millionths
FROM charges c
ANTI JOIN outranked o ON o.event_id = c.event_id AND o.content_key = c.content_key
