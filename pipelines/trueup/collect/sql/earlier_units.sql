-- Source units that an earlier version of the mapping mapped. Grain: one unit. Owner: collect.
SELECT DISTINCT u.source_id
FROM lake.events.control AS u
LEFT JOIN lake.events.configuration AS c ON c.configuration = u.mapping
WHERE u.source = $source AND coalesce(json_extract_string(c.content, '$.version')::INTEGER, 1) < $version
ORDER BY u.source_id
