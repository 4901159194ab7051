-- Every item of the money ledger: findings with proven money, and charged suspicious transactions.
-- Grain: one row per item. Owner: investigation.
-- Provisional findings are left out, as they are in every sum of leakage.
SELECT
    f.finding_id AS item_id,                      -- 16 bytes
    if(f.impact_micros >= 0, 'leakage', 'overcharge') AS type, -- leakage, overcharge or fraud
    f.kind,                                       -- as in the finding
    f.service,                                    -- '' for charges without a service
    f.day,                                        -- day of the money
    f.currency,                                   -- currency of the money
    if(f.stands, f.impact_micros, 0) AS micros,   -- present money of the item
    c.case_id,                                    -- the case in which the item is filed, 16 bytes; NULL without a case
    coalesce(c.snapshot, 9223372036854775807) AS filed_snapshot -- the commit that filed the finding
FROM steps.finding_now f
JOIN main.finding_kinds k ON k.kind = f.kind AND k.evidence = 'proven'
LEFT JOIN steps.case_filing c ON c.finding_id = f.finding_id AND c.until_snapshot IS NULL
WHERE f.control IS NULL AND f.impact_micros <> 0
    AND NOT EXISTS (FROM steps.finding_provisional p WHERE p.finding_id = f.finding_id)
UNION ALL
SELECT m.event_id, 'fraud', 'fraud', coalesce(m.service, ''), m.day, m.currency, m.micros, m.case_id, m.snapshot
FROM steps.fraud_money m
WHERE m.micros <> 0
