-- History of findings up to a position, as stored at a snapshot. Grain: one change of one finding. Owner: proof.
SELECT f.position, f.action, f.cause, f.finding_id, f.kind, f.service, f.day, f.currency, f.expected_micros, f.billed_micros
FROM lake.events.finding f
WHERE f.position <= $position AND f.snapshot_id <= $snapshot
