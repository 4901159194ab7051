-- All positions with the control rows and declarations of their commits. Grain: one position row. Owner: proof.
WITH units AS (
    SELECT c.snapshot_id, count(*) AS units, max(epoch_us(c.taken_at)) AS taken_at_us
    FROM lake.events.control AS c
    GROUP BY c.snapshot_id
),
declared AS (
    SELECT d.snapshot_id, count(*) AS declarations, any_value(d.kind) AS declared_kind,
        max(epoch_us(d.through)) FILTER (d.kind = 'tick') AS ticked_at_us
    FROM lake.events.declaration AS d
    GROUP BY d.snapshot_id
)
SELECT p.position, p.kind, p.snapshot_id, epoch_us(p.committed_at) AS committed_at_us,
    coalesce(u.units, 0) AS units, u.taken_at_us, coalesce(d.declarations, 0) AS declarations, d.declared_kind, d.ticked_at_us
FROM lake.events.position AS p
LEFT JOIN units AS u ON u.snapshot_id = p.snapshot_id
LEFT JOIN declared AS d ON d.snapshot_id = p.snapshot_id
ORDER BY p.position, p.snapshot_id
