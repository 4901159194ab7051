-- The history of one case, oldest event first. The query reads the lake itself, so a new decision shows at once.
SELECT h.at, h.event, h.by, h.note, h.details
FROM main.case_history h
WHERE h.case_id = $id
ORDER BY h.at, h.snapshot, h.event <> 'opened'
LIMIT 500
