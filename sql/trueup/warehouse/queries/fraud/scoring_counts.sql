-- Transactions counted by one scoring run, by role.
SELECT g.role, g.transactions
FROM lake.events.scoring g
WHERE g.position > $after AND g.position <= $upto
