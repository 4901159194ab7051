-- The number of decisions. A changed number shows that there are new decisions.
SELECT count(*) FROM lake.events.decision
