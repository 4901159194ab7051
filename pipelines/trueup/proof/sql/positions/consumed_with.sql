-- Positions of derived rows, with the snapshot of their commit. Grain: one position of one commit. Owner: proof.
SELECT DISTINCT e.snapshot_id, e.position FROM lake.events.{table} AS e ORDER BY ALL
