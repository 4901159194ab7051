-- The positions that derived rows name, beside the snapshot they came in. Grain: one position of one commit. Owner: proof.
SELECT DISTINCT e.snapshot_id, e.position FROM lake.events.{table} AS e ORDER BY ALL
