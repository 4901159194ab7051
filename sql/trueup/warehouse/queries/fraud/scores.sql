-- Every score of records up to the requested position.
SELECT s.event_id, s.source, s.name, s.margin, s.party_rank, s.party
FROM lake.events.score s
WHERE s.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
