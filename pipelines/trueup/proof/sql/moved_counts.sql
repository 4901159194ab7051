-- Commits whose number of rows of `moved` differs from the number in the control row. Grain: one commit. Owner: proof.
WITH declared AS (
    SELECT c.snapshot_id, sum(coalesce(c.moved, 0))::BIGINT AS rows FROM lake.events.control AS c GROUP BY c.snapshot_id
),
stored AS (
    SELECT m.snapshot_id, count(*) AS rows FROM lake.events.moved AS m GROUP BY m.snapshot_id
)
SELECT coalesce(d.snapshot_id, s.snapshot_id) AS snapshot_id, p.position, coalesce(d.rows, 0) AS declared, coalesce(s.rows, 0) AS stored
FROM declared AS d
FULL JOIN stored AS s ON s.snapshot_id = d.snapshot_id
LEFT JOIN lake.events.position AS p ON p.snapshot_id = coalesce(d.snapshot_id, s.snapshot_id)
WHERE coalesce(d.rows, 0) <> coalesce(s.rows, 0)
ORDER BY 1
