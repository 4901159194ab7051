-- Findings about invoices that are not provisional. Grain: as `invoice_findings`. Owner: warehouse.
SELECT f.kind, f.number, f.account, f.period_from, f.currency, f.impact_micros, f.reason
FROM invoice_findings f
WHERE NOT f.provisional
ORDER BY ALL
