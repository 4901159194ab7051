-- Open findings about scored days.
SELECT f.kind, f.control, f.subject AS model_id, f.day, f.records_low AS records, f.reason
FROM lake.events.finding f
WHERE f.kind IN ('model_drift', 'alert_rate', 'label_rate', 'alert_budget')
QUALIFY row_number() OVER (PARTITION BY f.finding_id ORDER BY f.position DESC) = 1 AND f.action IN ('raised', 'revised')
