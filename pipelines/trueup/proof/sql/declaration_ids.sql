-- Declarations whose id differs from the hash of content and position. Grain: one declaration. Owner: proof.
WITH declared AS (
    SELECT d.*, p.position,
        {expected_id} AS expected_id
    FROM lake.events.declaration AS d
    JOIN lake.events.position AS p ON p.snapshot_id = d.snapshot_id
)
SELECT d.event_id, d.kind, d.source, d.position FROM declared AS d WHERE d.event_id IS DISTINCT FROM d.expected_id ORDER BY d.position
