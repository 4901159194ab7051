-- Recorded configurations, and those that control rows or consumers refer to. Grain: one configuration. Owner: proof.
WITH referred AS (
    SELECT c.mapping AS configuration FROM lake.events.control AS c
    UNION
    SELECT c.configuration FROM lake.events.consumer AS c
)
SELECT coalesce(f.configuration, r.configuration) AS configuration, f.kind, f.content::VARCHAR AS content
FROM lake.events.configuration AS f
FULL JOIN (SELECT configuration FROM referred WHERE configuration IS NOT NULL) AS r ON r.configuration = f.configuration
ORDER BY ALL
