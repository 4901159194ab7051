-- The number of decisions; a change means that there are new ones.
SELECT count(*) FROM lake.events.decision
