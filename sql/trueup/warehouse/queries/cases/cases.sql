-- The cases that match, in the order of their rank. A NULL parameter does not filter.
-- Cases that are snoozed at $now are left out unless $all.
SELECT c.*
FROM main.cases c
WHERE ($type IS NULL OR c.type = $type)
    AND ($status IS NULL OR c.status = $status)
    AND ($owner IS NULL OR c.owner = $owner)
    AND ($status IS NOT NULL OR $all OR c.status = 'open')
    AND ($all OR c.snoozed_until IS NULL OR c.snoozed_until <= CAST($now AS TIMESTAMPTZ))
ORDER BY c.rank, c.currency
LIMIT $most
