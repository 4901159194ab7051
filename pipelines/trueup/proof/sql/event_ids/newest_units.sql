-- Accepted records of a stream's units, newest first. Grain: one part of a unit. Owner: proof.
SELECT c.snapshot_id, c.accepted FROM lake.events.control AS c WHERE c.stream = $stream ORDER BY c.snapshot_id DESC
