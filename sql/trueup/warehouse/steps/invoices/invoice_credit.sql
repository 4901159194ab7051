-- The invoice that each credit note lowers: the standing one with the number that the note names, or in place of that number.
-- Grain: one row per credit note that has such an invoice. Owner: warehouse.
-- A credit note counts once, whatever its period, unless it was itself replaced. Of several invoices the greatest takes it: parts of a
-- split, or copies under one number.
WITH documents AS MATERIALIZED (
    FROM steps.invoice_document
)
SELECT
    n.number,                                     -- number of the credit note
    n.total_micros,                               -- total of the credit note; negative
    n.billed_at,                                  -- when the credit note was issued, UTC
    n.event_id,                                   -- 16 bytes, of the credit note
    i.event_id AS invoice_event_id,               -- 16 bytes, of the record of the invoice
    i.account, i.currency,                        -- of the invoice and the credit note
    s.family                                      -- as in steps.invoice_succession
FROM documents n
JOIN steps.invoice_succession s ON s.former = n.refers_to AND s.is_standing
JOIN documents i ON i.number = s.number AND i.account = n.account AND i.currency = n.currency
WHERE n.is_credit AND NOT n.is_replaced AND NOT i.is_credit AND NOT i.is_replaced
QUALIFY row_number() OVER (PARTITION BY n.event_id ORDER BY i.total_micros DESC, i.billed_at, i.number, i.event_id) = 1
