-- The earliest period of charges of items that have no time of their own, by commit, up to a snapshot.
-- Grain: one row per commit with such charges. Owner: reconcile. A charge that corrects another does not show where the stream
-- begins.
SELECT e.snapshot_id AS at_snapshot, -min(epoch_us(e.period_from)) AS value
FROM lake.events.charge e
WHERE e.item IS NOT NULL AND e.started_at IS NULL AND e.billed_at IS NULL AND e.corrects IS NULL
    AND e.snapshot_id <= $upto_snapshot
GROUP BY e.snapshot_id
