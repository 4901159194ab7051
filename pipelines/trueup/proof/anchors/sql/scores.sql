-- Scores of records up to a position, as stored at a snapshot. Grain: one record and model or rule. Owner: proof.
SELECT s.event_id, s.source, s.name, s.margin, s.party_rank, s.party
FROM lake.events.score s
WHERE s.position <= $position AND s.snapshot_id <= $snapshot
