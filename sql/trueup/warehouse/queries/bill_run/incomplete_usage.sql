-- Feeds of usage that are not complete up to a given time.
WITH observed AS (
    SELECT c.source, max(c.last_time) AS reached FROM lake.events.control c WHERE c.stream = 'usage' GROUP BY c.source
    UNION ALL
    SELECT d.source, max(d.through) FROM lake.events.declaration d WHERE d.kind = 'close' GROUP BY d.source
)
SELECT n.source
FROM (SELECT unnest(CAST($sources AS VARCHAR[])) AS source) n
LEFT JOIN observed o ON o.source = n.source
GROUP BY n.source
HAVING coalesce(max(o.reached) < $until, TRUE)
ORDER BY n.source
