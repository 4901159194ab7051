-- Every case of a root cause as it was opened. Grain: one case. Owner: proof.
SELECT o.case_id, o.kind, o.currency, CAST(o.pattern AS VARCHAR) AS pattern
FROM lake.events.case_opening AS o
ORDER BY o.case_id
