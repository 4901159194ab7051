-- Ids of findings that begin with a text. At most three are returned, which is enough to see whether the id is unique.
SELECT DISTINCT lower(hex(f.finding_id)) AS finding_id
FROM steps.finding_change f
WHERE starts_with(lower(hex(f.finding_id)), $prefix)
ORDER BY finding_id
LIMIT 3
