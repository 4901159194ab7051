-- The stored history of findings up to a position, in the columns of the log: what digests are made of.
SELECT f.* FROM lake.events.finding f WHERE f.position <= $position
