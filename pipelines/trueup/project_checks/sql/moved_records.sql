-- Records of a stream that count under several bucket keys. They were ingested by a version of trueup that did not withdraw a
-- record under its former bucket key.
-- Grain: one source that delivered such a version. Owner: project checks.
WITH versions AS (
    SELECT e.key_scope, e.record_key, {bucket_key} AS bucket_key, split_part(e.source_id, '@', 1) AS source
    FROM lake.events.{stream} AS e
    WHERE e.record_version IS NOT NULL
        AND NOT EXISTS (
            SELECT 1
            FROM lake.events.moved AS m
            WHERE m.stream = '{stream}' AND m.key_scope = e.key_scope AND m.record_key = e.record_key
        )
),
moved AS (
    SELECT v.key_scope, v.record_key, min(v.source) AS source
    FROM versions AS v
    GROUP BY v.key_scope, v.record_key
    HAVING count(DISTINCT v.bucket_key) > 1
)
SELECT m.source, '{stream}' AS stream, count(*) AS records, min(m.record_key) AS example
FROM moved AS m
GROUP BY m.source
ORDER BY m.source
