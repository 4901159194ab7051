-- The subscribers with the most money in findings: examples for the start of the page.
SELECT f.subscriber, f.currency, sum(abs(f.impact)) AS money
FROM findings f
WHERE f.subscriber <> '' AND f.status IN ('open', 'confirmed') AND NOT f.provisional AND f.impact <> 0
GROUP BY f.subscriber, f.currency
ORDER BY money DESC, f.subscriber
LIMIT 8
