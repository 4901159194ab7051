-- The money of every finding, and the case in which the finding is filed now.
-- Grain: one row per finding ever raised. Owner: investigation.
SELECT
    f.finding_id,                                 -- 16 bytes
    f.kind,                                       -- kind of the finding
    f.service,                                    -- '' for charges without a service
    f.day,                                        -- day of the money
    f.started_at,                                 -- time of the first record
    f.currency,                                   -- currency of the money
    f.impact_micros,                              -- positive: leakage; negative: overcharge
    f.stands,                                     -- whether later records have not closed the finding
    f.status,                                     -- status as in the view findings
    c.case_id,                                    -- the case in which the finding is filed, 16 bytes; NULL without a case
    c.snapshot AS filed_snapshot,                 -- the commit that filed the finding
    p.finding_id IS NOT NULL AS is_provisional,   -- whether quarantine or an incomplete feed may hold its missing record
    CASE
        WHEN k.kind IS NOT NULL AND f.control IS NULL AND f.impact_micros <> 0 AND p.finding_id IS NULL THEN if(f.stands, f.impact_micros, 0)
    END AS ledger_micros                          -- present money in the money ledger; NULL where the ledger does not have the finding, such as a provisional one
FROM steps.finding_now f
LEFT JOIN main.finding_kinds k ON k.kind = f.kind AND k.evidence = 'proven'
LEFT JOIN steps.finding_provisional p ON p.finding_id = f.finding_id
LEFT JOIN steps.case_filing c ON c.finding_id = f.finding_id AND c.until_snapshot IS NULL
