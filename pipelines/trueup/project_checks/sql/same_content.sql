-- Units of one content that two sources brought. Grain: one pair of sources. Owner: project checks.
SELECT
    f.source AS first,
    s.source AS second,
    count(*) AS units,          -- contents that both brought
    min(f.path) AS path         -- one of them, as the first source read it
FROM lake.events.control AS f
JOIN lake.events.control AS s ON s.sha256 = f.sha256 AND s.source > f.source
WHERE f.part_no = 0 AND s.part_no = 0 AND f.records > 0
GROUP BY f.source, s.source
ORDER BY f.source, s.source
