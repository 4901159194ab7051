-- The newest position, its snapshot and the reconciled position at a snapshot; 0 where there is none. Grain: one row. Owner: proof.
SELECT
    (SELECT coalesce(max(position), 0) FROM lake.events.position WHERE snapshot_id <= $snapshot) AS position,
    (SELECT coalesce(arg_max(snapshot_id, position), 0) FROM lake.events.position WHERE snapshot_id <= $snapshot)
        AS position_snapshot,   -- the snapshot of the newest position
    (
        SELECT coalesce(max(position), 0) FROM lake.events.consumer
        WHERE consumer = 'reconcile' AND snapshot_id <= $snapshot
    ) AS reconciled_position    -- the position up to which findings are complete
