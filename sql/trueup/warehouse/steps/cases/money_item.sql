-- Every item of the money ledger: findings with proven money, and charged suspicious transactions.
-- Grain: one row per item. Owner: investigation.
SELECT
    f.finding_id AS item_id,                      -- 16 bytes
    if(f.impact_micros >= 0, 'leakage', 'overcharge') AS type, -- leakage, overcharge or fraud
    f.kind,                                       -- as in the finding
    f.service,                                    -- '' for charges without a service
    f.day,                                        -- day of the money
    f.currency,                                   -- currency of the money
    f.ledger_micros AS micros,                    -- present money of the item
    f.case_id,                                    -- the case in which the item is filed, 16 bytes; NULL without a case
    coalesce(f.filed_snapshot, 9223372036854775807) AS filed_snapshot, -- the commit that filed the finding; of fraud, the commit of the first score
    NULL AS position                              -- of fraud, the position of the score; NULL for a finding
FROM steps.finding_money f
WHERE f.ledger_micros IS NOT NULL
UNION ALL
SELECT m.event_id, 'fraud', 'fraud', coalesce(m.service, ''), m.day, m.currency, m.micros, m.case_id, m.snapshot, m.position
FROM steps.fraud_money m
WHERE m.micros <> 0
