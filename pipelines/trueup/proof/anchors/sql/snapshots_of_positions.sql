-- Snapshots of given positions. Grain: one position. Owner: proof.
SELECT p.position, p.snapshot_id
FROM lake.events.position p
SEMI JOIN (SELECT unnest(?::BIGINT[]) AS position) requested ON requested.position = p.position
ORDER BY 1, 2
