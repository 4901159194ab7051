-- Declarations of models and their roles, in order.
SELECT p.position, d.content, d.snapshot_id
FROM lake.events.declaration d
JOIN lake.events.position p ON p.snapshot_id = d.snapshot_id
WHERE d.kind = 'model'
ORDER BY p.position
