-- Open findings, up to the position up to which the log is reconciled.
-- Grain: one row per open finding. Owner: warehouse.
-- A recomputation of some days writes findings beyond that position. Such findings are left out until the ledger reaches their
-- position.
WITH last_changes AS (
    SELECT c.finding_id, max(c.position) AS position
    FROM steps.finding_change c
    WHERE c.position <= (SELECT r.position FROM steps.reconciled r)
    GROUP BY c.finding_id
)
SELECT
    c.finding_id,                                 -- 16 bytes
    c.service,                                    -- '' for charges without a service
    c.day,                                        -- day in the project's time zone
    c.currency,                                   -- currency of the impact
    c.impact_micros                               -- expected - billed
FROM steps.finding_change c
JOIN last_changes l ON l.finding_id = c.finding_id AND l.position = c.position
WHERE c.stands
