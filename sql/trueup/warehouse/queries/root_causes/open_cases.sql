-- The cases in which findings can be filed, in the order of filling. A case that was split off comes before its parent, then cases
-- follow in the order of opening.
SELECT lower(hex(o.case_id)) AS case_id, o.kind, coalesce(o.currency, '') AS currency, CAST(o.pattern AS VARCHAR) AS pattern, o.parent, n.merged_into
FROM steps.case_opening o
LEFT JOIN steps.case_note n ON n.subject = o.case_id
ORDER BY o.parent IS NULL, if(o.parent IS NULL, o.snapshot, -o.snapshot), o.case_id
