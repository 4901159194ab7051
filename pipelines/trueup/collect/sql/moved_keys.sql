-- Record keys in the rows of `moved` of one key scope. Grain: one record key of an item's charges or of other records.
-- Owner: collect.
SELECT DISTINCT m.record_key, m.item IS NOT NULL AS is_item
FROM lake.events.moved AS m
WHERE m.stream = $stream AND m.key_scope = $key_scope
