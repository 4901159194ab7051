-- The declarations of models, newest last.
SELECT d.through, CAST(d.content AS VARCHAR) AS content, p.position, p.committed_at
FROM lake.events.declaration d
JOIN lake.events.position p ON p.snapshot_id = d.snapshot_id
WHERE d.kind = 'model'
ORDER BY p.position
