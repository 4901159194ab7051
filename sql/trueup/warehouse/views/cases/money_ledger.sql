-- Double entry of the money of findings and suspicious transactions. Money is detected, then confirmed, claimed, prevented, written
-- off, or a false alarm. The account `assessed` is the opposite of all others, so all accounts add up to zero.
-- Grain: one row per item, entry and account. Owner: investigation.
-- An item has its money once, whether its records are leakage, fraud or both.
WITH states AS (
    SELECT
        e.*,
        coalesce(last_value(e.micros IGNORE NULLS) OVER so_far, 0) AS money,
        coalesce(last_value(e.account IGNORE NULLS) OVER so_far, 'detected') AS home,
        sum(e.part_micros) OVER so_far AS parts,
        row_number() OVER so_far AS entry
    FROM steps.money_event e
    WINDOW so_far AS (
        PARTITION BY e.item_id ORDER BY e.snapshot, e.position NULLS LAST, e.reason, e.part_account NULLS LAST, e.part_micros
        ROWS UNBOUNDED PRECEDING
    )
),
steps_of_money AS (
    SELECT
        s.item_id, s.type, s.case_id, s.kind, s.service, s.day, s.currency, s.entry, s.position, s.reason, s.decided_by,
        unnest([
            {'account': s.home, 'micros': s.money - s.parts},
            {'account': coalesce(lag(s.home) OVER w, 'detected'), 'micros': -coalesce(lag(s.money - s.parts) OVER w, 0)},
            {'account': coalesce(s.part_account, 'detected'), 'micros': s.part_micros},
            {'account': 'assessed', 'micros': coalesce(lag(s.money) OVER w, 0) - s.money}
        ]) AS posting
    FROM states s
    WINDOW w AS (PARTITION BY s.item_id ORDER BY s.entry)
)
SELECT
    lower(hex(p.item_id)) AS item_id,             -- the finding or suspicious transaction
    any_value(p.type) AS type,                    -- leakage, overcharge (negative) or fraud
    any_value(lower(hex(p.case_id))) AS case_id,  -- the case in which the item is filed now; NULL without a case
    any_value(p.kind) AS kind,                    -- kind of the finding, or fraud
    any_value(p.service) AS service,              -- '' for charges without a service
    any_value(p.day) AS day,                      -- day of the money
    any_value(p.currency) AS currency,            -- currency of the amounts
    CAST(p.entry AS BIGINT) AS entry,             -- number of the entry within the item, in the order of the log
    p.posting.account AS account,                 -- assessed, detected, confirmed, claimed, recovered, prevented, written_off or false_alarm
    CAST(sum(p.posting.micros) AS DECIMAL(38, 0)) AS micros, -- amount in millionths; positive: the account grows
    steps.micros_as_money(sum(p.posting.micros)) AS amount, -- the same amount as money
    any_value(p.reason) AS reason,                -- raised, revised, resolved, retracted, recovered, scored, or the decision
    any_value(p.position) AS position,            -- position of the change of the money; NULL for a decision
    any_value(p.decided_by) AS decided_by         -- the person who decided; NULL for a change
FROM steps_of_money p
GROUP BY p.item_id, p.entry, p.posting.account
HAVING sum(p.posting.micros) <> 0
