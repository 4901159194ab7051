-- Money still to be recovered or refunded, by kind and service.
SELECT kind, service, currency, count(*) AS findings, sum(impact) AS impact
FROM findings
WHERE status IN ('open', 'confirmed') AND NOT provisional
GROUP BY ALL
ORDER BY abs(sum(impact)) DESC
