-- Whether `moved` has rows of a key scope. Grain: one row. Owner: collect.
SELECT count(*) > 0 AS has_moved
FROM lake.events.moved AS m
WHERE m.stream = $stream AND m.key_scope = $key_scope
