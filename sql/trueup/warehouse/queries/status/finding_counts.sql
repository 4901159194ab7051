-- Number and impact of open findings, by kind, status, currency and whether they are provisional.
SELECT f.kind, f.status, f.provisional, f.currency, count(*) AS findings, sum(f.impact) AS impact
FROM main.findings f
WHERE f.status NOT IN ('resolved', 'retracted')
GROUP BY f.kind, f.status, f.provisional, f.currency
ORDER BY f.kind, f.status, f.provisional, f.currency
