-- The share of each item in a decision about a part of the money.
-- Grain: one row per item and decision with an amount. Owner: investigation.
-- The items of a case are ordered by filing, then by descending money. The amounts of the decisions are taken from the items in
-- this order. A reopening returns the amounts taken before it.
WITH amounts AS (
    SELECT
        d.event_id, d.finding_id AS subject, d.decision, d.decided_by, d.account, d.amount_micros, d.snapshot,
        (SELECT count(*) FROM steps.decision_event r WHERE r.finding_id = d.finding_id AND r.status = 'open' AND r.snapshot < d.snapshot) AS times_reopened,
        (SELECT min(r.snapshot) FROM steps.decision_event r WHERE r.finding_id = d.finding_id AND r.status = 'open' AND r.snapshot > d.snapshot) AS until_snapshot
    FROM steps.decision_event d
    WHERE d.amount_micros IS NOT NULL AND d.account IS NOT NULL
),
stretches AS (
    SELECT
        a.*, sum(a.amount_micros) OVER (PARTITION BY a.subject, a.times_reopened ORDER BY a.snapshot) AS to_micros,
        to_micros - a.amount_micros AS from_micros
    FROM amounts a
),
concerned AS (
    SELECT c.subject, c.item_id, c.micros, c.filed_snapshot
    FROM (SELECT unnest([i.item_id, i.case_id]) AS subject, i.item_id, i.micros, i.filed_snapshot FROM steps.money_item i) c
    WHERE c.subject IN (SELECT a.subject FROM amounts a)
),
line AS (
    SELECT
        c.subject, c.item_id, sign(c.micros) AS direction,
        sum(abs(c.micros)) OVER (PARTITION BY c.subject ORDER BY c.filed_snapshot, abs(c.micros) DESC, c.item_id) AS to_micros,
        to_micros - abs(c.micros) AS from_micros
    FROM concerned c
)
SELECT
    l.item_id,                                    -- 16 bytes
    s.event_id,                                   -- id of the decision
    s.decision,                                   -- name of the decision, as recorded
    s.decided_by,                                 -- name of the person who decided
    s.account,                                    -- the account to which the decision moves money
    s.snapshot,                                   -- the commit of the decision
    s.until_snapshot,                             -- the commit that reopened the subject; NULL while the decision is in force
    CAST(l.direction * (least(s.to_micros, l.to_micros) - greatest(s.from_micros, l.from_micros)) AS DECIMAL(38, 0)) AS micros -- the share of this item
FROM stretches s
JOIN line l ON l.subject = s.subject AND l.from_micros < s.to_micros AND s.from_micros < l.to_micros
