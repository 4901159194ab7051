-- Whether the log has any invoice of the periods that begin on a given day.
SELECT count(*) > 0 AS are_known FROM steps.invoice_document d WHERE NOT d.is_credit AND d.first_day = CAST($cycle AS DATE)
