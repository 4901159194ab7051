-- Positions run from 1 without gaps or repeats, and no consumer is ahead of the newest position.
-- A row: a position after a gap, a repeated position, or a consumer ahead of the newest position.
SELECT p.position, 'gap or repeat' AS fault, lag(p.position) OVER (ORDER BY p.position) AS other
FROM lake.events.position p
QUALIFY p.position <> coalesce(lag(p.position) OVER (ORDER BY p.position), 0) + 1
UNION ALL
SELECT c.position, 'consumer ' || c.consumer || ' is ahead', newest.position
FROM lake.events.consumer c, (SELECT coalesce(max(p.position), 0) AS position FROM lake.events.position p) newest
WHERE c.position > newest.position
