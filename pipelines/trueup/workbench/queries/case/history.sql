-- What happened to one case, oldest first, asked of the lake itself: a decision is there at once.
SELECT h.at, h.event, h.by, h.note, h.details
FROM main.case_history h
WHERE h.case_id = $id
ORDER BY h.at, h.snapshot, h.event <> 'opened'
LIMIT 500
