-- Recorded mapping of a source's latest unit: its content, NULL where none was recorded. Grain: one row, none for a new source.
-- Owner: collect.
SELECT c.content
FROM lake.events.control AS u
LEFT JOIN lake.events.configuration AS c ON c.configuration = u.mapping
WHERE u.source = $source
ORDER BY u.sequence_no DESC
LIMIT 1
