-- The leakage table at the end of a run: money by kind and service, largest impact first.
SELECT l.kind, l.service, l.currency, sum(l.findings) AS findings, sum(l.leakage) AS leakage, sum(l.overcharge) AS overcharge, sum(l.impact) AS impact
FROM main.leakage_by_day l
GROUP BY l.kind, l.service, l.currency
ORDER BY abs(sum(l.impact)) DESC, l.kind, l.service, l.currency
