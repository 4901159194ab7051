-- Declarations of a model as champion: the position of each, the position from which it applies, and the position scored at that
-- time.
SELECT
    p.position, CAST((d.content ->> '$.since') AS BIGINT) AS since,
    (SELECT coalesce(max(c.position), 0) FROM lake.events.consumer c WHERE c.consumer = 'score' AND c.snapshot_id < d.snapshot_id) AS scored
FROM lake.events.declaration d
JOIN lake.events.position p ON p.snapshot_id = d.snapshot_id
WHERE d.kind = 'model' AND (d.content ->> '$.model_id') = $model_id AND (d.content ->> '$.role') = 'champion'
ORDER BY p.position
