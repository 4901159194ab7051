-- Invoices and credit notes with their days; of several contents of one record the greatest (version, total, id) counts.
-- Grain: one row per record of an invoice or credit note. Owner: warehouse.
WITH documents AS MATERIALIZED (
    SELECT i.*, i.snapshot_id
    FROM lake.events.invoice i
    WHERE i.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    QUALIFY row_number() OVER (
        PARTITION BY i.key_scope, i.record_key ORDER BY i.record_version DESC NULLS LAST, i.total_micros DESC, i.event_id DESC
    ) = 1
),
dated AS (
    SELECT
        d.*, CAST(timezone(r.zone, d.period_from) AS DATE) AS first_day,
        CAST(timezone(r.zone, if(r.is_to_included, d.period_to, d.period_to - INTERVAL 1 MICROSECOND)) AS DATE) AS end_day,
        CAST(timezone(r.zone, d.billed_at) AS DATE) AS billed_day
    FROM documents d
    CROSS JOIN steps.invoice_rule r
)
SELECT
    d.event_id,                                   -- 16 bytes
    d.source_id,                                  -- source unit of the document
    d.snapshot_id,                                -- snapshot of the commit
    d.key_scope, d.record_key,
    d.number,                                     -- number of the document, as charges name it
    d.account,                                    -- account of the document
    d.kind = 'credit_note' AS is_credit,          -- whether the document is a credit note
    d.first_day,                                  -- first day of the period; NULL on a credit note without a period
    greatest(d.first_day, coalesce(d.end_day, d.first_day)) AS last_day, -- last day of the period
    d.billed_day,                                 -- day on which the document was issued
    d.billed_at, d.due_at, d.net_micros, d.tax_micros, d.total_micros, d.currency, d.refers_to, d.replaces,
    EXISTS (
        FROM documents n WHERE n.replaces = d.number AND n.kind = d.kind AND n.account = d.account
    ) AS is_replaced,                             -- whether another invoice of the account was issued in its place
    row_number() OVER (PARTITION BY d.number ORDER BY d.billed_at, d.key_scope, d.record_key) AS copy_no -- 1 for the first document with this number, 2 for the second, …
FROM dated d
