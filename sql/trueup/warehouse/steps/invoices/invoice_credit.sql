-- Amounts that credit notes take off each invoice. A credit note counts once, whatever its period, unless it was itself replaced.
-- Grain: one row per number, account and currency of credited invoices. Owner: warehouse.
SELECT
    d.refers_to AS number,                        -- number of the invoice
    d.account,                                    -- account of the invoice and its credit notes
    d.currency,                                   -- currency of the invoice and its credit notes
    sum(d.total_micros) AS credited_micros,       -- sum of the credit notes; negative
    count(*) AS credit_notes,                     -- number of credit notes
    arg_max(d.number, (d.billed_at, d.number)) AS last_number -- number of the last credit note
FROM steps.invoice_document d
WHERE d.is_credit AND NOT d.is_replaced AND d.refers_to IS NOT NULL
GROUP BY d.refers_to, d.account, d.currency
