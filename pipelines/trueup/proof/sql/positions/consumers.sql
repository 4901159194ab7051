-- Commits of all consumers, in order. Grain: one commit of a consumer. Owner: proof.
SELECT c.consumer, c.position, c.snapshot_id, c.configuration FROM lake.events.consumer AS c ORDER BY c.consumer, c.snapshot_id
