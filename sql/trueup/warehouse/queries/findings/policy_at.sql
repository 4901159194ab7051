-- The policy in force at a position: the last policy declared up to the position.
SELECT CAST(d.content AS VARCHAR) AS content
FROM lake.events.declaration d
JOIN lake.events.position p ON p.snapshot_id = d.snapshot_id
WHERE d.kind = 'policy' AND p.position <= $position
ORDER BY p.position DESC
LIMIT 1
