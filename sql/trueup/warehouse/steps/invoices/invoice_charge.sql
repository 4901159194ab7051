-- Charges as lines of invoices, without superseded contents.
-- Grain: one row per charge. Owner: warehouse.
WITH repeated AS MATERIALIZED (
    -- A hash finds the few keys with several contents quickly. Two keys may share a hash, so contents are compared by the keys.
    SELECT hash(k.content_key) AS key_hash FROM steps.record_content k WHERE k.stream = 'charge' GROUP BY key_hash HAVING count(*) > 1
),
superseded AS MATERIALIZED (
    SELECT k.event_id
    FROM steps.record_content k
    SEMI JOIN repeated r ON r.key_hash = hash(k.content_key)
    WHERE k.stream = 'charge'
    QUALIFY k.is_delivered AND rank() OVER (PARTITION BY k.content_key ORDER BY k.precedence DESC) > 1
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
FROM lake.events.charge c
ANTI JOIN superseded o ON o.event_id = c.event_id
WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
