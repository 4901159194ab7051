-- All changes of findings that changed more than once. The last change of each finding is in `findings`.
-- Grain: one row per finding and position. Owner: workbench.
SELECT
    c.finding_id, c.position, c.action, c.stands, c.cause, c.kind, c.service, c.subscriber, c.day, c.started_at, c.impact_micros,
    c.currency, c.control, c.snapshot
FROM steps.finding_change c
SEMI JOIN (
    SELECT n.finding_id FROM steps.finding_change n GROUP BY n.finding_id HAVING count(*) > 1
) m ON m.finding_id = c.finding_id
