-- What was said of the transactions of a run: each suspicious one by each model and rule.
SELECT s.event_id, s.role
FROM lake.events.score s
WHERE s.position > $after AND s.position <= $upto
