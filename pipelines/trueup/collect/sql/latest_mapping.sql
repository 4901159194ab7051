-- The recorded mapping of the latest unit of a source; NULL where none was recorded. Grain: one row; none for a source without
-- units.
-- Owner: collect.
SELECT c.content
FROM lake.events.control AS u
LEFT JOIN lake.events.configuration AS c ON c.configuration = u.mapping
WHERE u.source = $source
ORDER BY u.sequence_no DESC
LIMIT 1
