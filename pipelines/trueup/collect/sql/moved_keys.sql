-- Record keys of a key scope that rows of `moved` name. Grain: one record key, or one that is an item's. Owner: collect.
SELECT DISTINCT m.record_key, m.item IS NOT NULL AS is_item
FROM lake.events.moved AS m
WHERE m.stream = $stream AND m.key_scope = $key_scope
