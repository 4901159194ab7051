-- Records of a stream whose versions have different bucket keys: each bucket key has a record of its own, and all of them count.
-- Grain: one source that delivered such a version. Owner: project checks.
WITH versions AS (
    SELECT e.key_scope, e.record_key, {bucket_key} AS bucket_key, split_part(e.source_id, '@', 1) AS source
    FROM lake.events.{stream} AS e
    WHERE e.record_version IS NOT NULL
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
