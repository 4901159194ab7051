-- The history of one case, oldest event first.
SELECT h.at, h.event, h.by, h.note, h.details FROM main.case_history h WHERE h.case_id = $case_id ORDER BY h.snapshot, h.event
