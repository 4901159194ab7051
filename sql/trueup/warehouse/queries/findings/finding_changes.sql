-- The changes of one finding, oldest first.
SELECT h.* FROM main.finding_history h WHERE h.finding_id = $finding_id ORDER BY h.position
