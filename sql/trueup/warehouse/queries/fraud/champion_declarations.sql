-- Each time a model was promoted to be champion: where it was declared, since which position, and how far scores were by then.
SELECT
    p.position, CAST((d.content ->> '$.since') AS BIGINT) AS since,
    (SELECT coalesce(max(c.position), 0) FROM lake.events.consumer c WHERE c.consumer = 'score' AND c.snapshot_id < d.snapshot_id) AS scored
FROM lake.events.declaration d
JOIN lake.events.position p ON p.snapshot_id = d.snapshot_id
WHERE d.kind = 'model' AND (d.content ->> '$.model_id') = $model_id AND (d.content ->> '$.role') = 'champion'
ORDER BY p.position
