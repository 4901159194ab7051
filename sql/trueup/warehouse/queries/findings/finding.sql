-- One finding in its present state, with the billed money of its own part, the tolerated money of its booking and the last
-- decision.
SELECT
    f.*, d.decision, d.note, d.decided_by, d.decided_at, steps.micros_as_money(n.billed_micros) AS part_billed,
    steps.micros_as_money(n.whole_tolerated_micros) AS tolerated
FROM main.findings f
JOIN steps.finding_now n ON n.finding_id = unhex($finding_id)
LEFT JOIN steps.decision_now d ON d.finding_id = unhex($finding_id)
WHERE f.finding_id = $finding_id
