-- The money of one finding, case or transaction, and the amounts that decisions about parts of the money have moved: decisions on
-- the subject itself, on its case, or on its findings.
-- Grain: one row. Owner: investigation.
WITH every_item AS MATERIALIZED (
    SELECT i.item_id, i.case_id, i.filed_snapshot, i.micros, i.currency FROM steps.money_item i
),
items AS (
    SELECT i.item_id, i.micros, i.currency FROM every_item i
    WHERE i.item_id = unhex($subject) OR i.case_id = unhex($subject)
),
taken AS (
    SELECT
        sum(abs(s.micros)) AS micros,
        sum(abs(s.micros)) FILTER (s.account = 'written_off') AS written_off_micros
    FROM steps.money_shares('every_item', 'steps.decision_event') s
    SEMI JOIN items i ON i.item_id = s.item_id
    WHERE s.until_snapshot IS NULL
),
proposal AS (
    SELECT arg_max(d.decided_by, d.snapshot) AS proposed_by, arg_max(d.amount_micros, d.snapshot) AS proposed_micros, max(d.snapshot) AS snapshot
    FROM steps.decision_event d
    WHERE d.finding_id = unhex($subject) AND d.decision = 'write_off_proposed'
)
SELECT
    coalesce((SELECT sum(abs(i.micros)) FROM items i), 0) AS micros,
    (SELECT any_value(i.currency) FROM items i) AS currency,
    coalesce(t.micros, 0) AS taken_micros,
    coalesce(t.written_off_micros, 0) AS written_off_micros,
    -- A proposal ends with the next decision that changes the status.
    if(p.snapshot > coalesce((SELECT max(d.snapshot) FROM steps.decision_event d WHERE d.finding_id = unhex($subject) AND d.status IS NOT NULL), -1),
        p.proposed_by, NULL) AS proposed_by,
    p.proposed_micros
FROM proposal p, taken t
