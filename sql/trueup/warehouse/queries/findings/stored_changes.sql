-- The stored history of findings up to a position, in the columns of the log, as digests read it.
SELECT f.* FROM lake.events.finding f WHERE f.position <= $position
