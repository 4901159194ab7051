-- Contents of units that several sources delivered. Grain: one content. Owner: project checks.
SELECT
    list_sort(list(DISTINCT c.source)) AS sources,
    arg_min(c.path, c.source) AS path                         -- path of the unit of the first of these sources
FROM lake.events.control AS c
WHERE c.part_no = 0 AND c.records > 0 AND c.recycles IS NULL
GROUP BY c.sha256
HAVING count(DISTINCT c.source) > 1
ORDER BY path
