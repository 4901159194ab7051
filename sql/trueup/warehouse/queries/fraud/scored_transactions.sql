-- Suspicious transactions of one scoring run, by model and rule.
SELECT s.event_id, s.role, s.loss_micros, s.currency
FROM lake.events.score s
WHERE s.position > $after AND s.position <= $upto
