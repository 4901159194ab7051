-- Declared policies in the order of their positions. Grain: one declaration. Owner: quality.
SELECT p.position, d.content
FROM lake.events.declaration AS d
JOIN lake.events.position AS p ON p.snapshot_id = d.snapshot_id
WHERE d.kind = $kind
ORDER BY p.position
