-- What was counted by a run, known by the position it went up to.
SELECT g.role, g.transactions
FROM lake.events.scoring g
WHERE g.position > $after AND g.position <= $upto
