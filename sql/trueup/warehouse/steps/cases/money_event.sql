-- Every change of the money of an item, or of the account that holds the money.
-- Grain: one row per item and change, decision, or part of a decision. Owner: investigation.
-- Money that a correcting charge recovers remains money of the item and moves to the account `recovered`.
WITH items AS MATERIALIZED (
    FROM steps.money_item
),
changes AS (
    SELECT
        i.item_id, c.snapshot, c.position, if(r.recovered_micros IS NULL, c.action, 'recovered') AS reason,
        if(c.stands, c.impact_micros, 0)
            + coalesce(sum(r.recovered_micros) OVER (PARTITION BY c.finding_id ORDER BY c.position), 0) AS micros,
        coalesce(r.recovered_micros, 0) AS recovered_micros
    FROM items i
    JOIN steps.finding_change c ON c.finding_id = i.item_id
    LEFT JOIN steps.recovery r ON r.finding_id = c.finding_id AND r.position = c.position
    WHERE i.type <> 'fraud'
    UNION ALL
    SELECT i.item_id, i.filed_snapshot, i.position, 'scored', i.micros, 0 FROM items i WHERE i.type = 'fraud'
),
decisions AS (
    SELECT d.finding_id AS item_id, d.snapshot, d.decision, d.decided_by, d.account
    FROM steps.decision_on_finding d
    WHERE d.sets_status AND d.amount_micros IS NULL
    UNION ALL
    SELECT i.item_id, d.snapshot, d.decision, d.decided_by, d.account
    FROM items i
    JOIN steps.decision_on_transaction d ON d.event_id = i.item_id AND unhex(d.case_id) = i.case_id
    WHERE i.type = 'fraud' AND d.is_on_case AND d.sets_status AND d.amount_micros IS NULL
),
events AS (
    SELECT
        c.item_id, c.snapshot, c.position, c.reason, NULL AS decided_by, c.micros, NULL AS account,
        if(c.recovered_micros = 0, NULL, 'recovered') AS part_account, c.recovered_micros AS part_micros
    FROM changes c
    UNION ALL
    SELECT d.item_id, d.snapshot, NULL, d.decision, d.decided_by, NULL, d.account, NULL, 0 FROM decisions d
    UNION ALL
    -- Each part moves once with its decision, and moves back with a reopening.
    SELECT s.item_id, s.move.snapshot, NULL, s.move.reason, s.move.decided_by, NULL, NULL, s.account, s.move.micros
    FROM (
        SELECT
            p.item_id, p.account,
            unnest([
                {'snapshot': p.snapshot, 'reason': p.decision, 'decided_by': p.decided_by, 'micros': p.micros},
                {'snapshot': p.until_snapshot, 'reason': 'reopened', 'decided_by': NULL, 'micros': -p.micros}
            ]) AS move
        FROM steps.money_shares('items', 'steps.decision_event') p
    ) s
    WHERE s.move.snapshot IS NOT NULL
)
SELECT
    e.item_id,                                    -- 16 bytes
    i.type,                                       -- leakage, overcharge (negative) or fraud
    i.case_id,                                    -- the case in which the item is filed now, 16 bytes; NULL without a case
    i.kind,                                       -- kind of the finding, or fraud
    i.service,                                    -- '' for charges without a service
    i.day,                                        -- day of the money
    i.currency,                                   -- currency of the amounts
    e.snapshot,                                   -- the commit of the change or decision
    e.position,                                   -- position of the change of the money; NULL for a decision
    e.reason,                                     -- raised, revised, resolved, retracted, scored, or the decision
    e.decided_by,                                 -- name of the person who decided; NULL for a change
    e.micros,                                     -- money of the item from this commit on; NULL for a decision
    e.account,                                    -- the account of the item's money from this commit on; NULL: the account before
    e.part_account,                               -- the account to which a part of the money moves
    e.part_micros                                 -- the moved part in millionths; negative where the part moves back
FROM events e
JOIN items i ON i.item_id = e.item_id
