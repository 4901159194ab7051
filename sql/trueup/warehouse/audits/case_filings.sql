-- A finding is filed only in a case of its kind and currency that was opened before the filing. No case is opened twice.
-- A row: a filing or an opening that breaks this rule.
SELECT lower(hex(f.finding_id)) AS finding_id, lower(hex(f.case_id)) AS case_id, f.filed_at
FROM steps.case_filing f
LEFT JOIN steps.case_opening o ON o.case_id = f.case_id
LEFT JOIN steps.finding_now n ON n.finding_id = f.finding_id
WHERE f.until_snapshot IS NULL
    AND (o.case_id IS NULL OR o.snapshot > f.snapshot OR n.kind IS DISTINCT FROM o.kind OR coalesce(n.currency, '') <> coalesce(o.currency, ''))
UNION ALL
SELECT NULL, lower(hex(o.case_id)), max(o.opened_at) FROM steps.case_opening o GROUP BY o.case_id HAVING count(*) > 1
