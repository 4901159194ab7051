-- The share of each item in a decision about a part of the money.
-- Grain: one row per item and decision with an amount. Owner: investigation.
SELECT
    s.item_id,                                    -- 16 bytes
    s.event_id,                                   -- id of the decision
    s.decision,                                   -- name of the decision, as recorded
    s.decided_by,                                 -- name of the person who decided
    s.account,                                    -- the account to which the decision moves money
    s.snapshot,                                   -- the commit of the decision
    s.until_snapshot,                             -- the commit that reopened the subject; NULL while the decision is in force
    s.micros                                      -- the share of this item
FROM steps.money_shares('steps.money_item', 'steps.decision_event') s
