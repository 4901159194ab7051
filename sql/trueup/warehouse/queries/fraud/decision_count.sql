-- How many decisions have been made: whether there are new ones.
SELECT count(*) FROM lake.events.decision
