-- Findings that later records have not closed and that are in no case, by currency.
SELECT n.currency, count(*) AS findings, steps.micros_as_money(sum(abs(n.impact_micros))) AS money
FROM steps.finding_now n
WHERE n.stands AND n.control IS NULL AND n.kind NOT IN ('model_drift', 'alert_rate', 'label_rate')
    AND n.finding_id NOT IN (SELECT f.finding_id FROM steps.case_filing f)
GROUP BY n.currency
ORDER BY n.currency
