-- The accounts of the money ledger add up to zero in every entry. The accounts of an item, without `assessed` and `recovered`, add
-- up to its money now. None of them has more than this money.
-- A row: an entry or an item that does not add up, or an item with an account that has more than its money.
WITH items AS (
    SELECT i.item_id, any_value(i.micros) AS micros FROM steps.money_item i GROUP BY i.item_id
),
accounts AS (
    SELECT l.item_id, l.account, sum(l.micros) AS micros
    FROM main.money_ledger l
    WHERE l.account NOT IN ('assessed', 'recovered')
    GROUP BY l.item_id, l.account
),
booked AS (
    -- Where an account has too much, another has less than nothing. Then the absolute amounts add up to more than the money.
    SELECT a.item_id, sum(a.micros) AS micros, sum(abs(a.micros)) AS gross_micros FROM accounts a GROUP BY a.item_id
)
SELECT l.item_id, l.entry, sum(l.micros) AS difference_micros
FROM main.money_ledger l
GROUP BY l.item_id, l.entry
HAVING sum(l.micros) <> 0
UNION ALL
SELECT
    lower(hex(i.item_id)), NULL,
    if(coalesce(b.micros, 0) <> i.micros, coalesce(b.micros, 0) - i.micros, b.gross_micros - abs(i.micros))
FROM items i
LEFT JOIN booked b ON b.item_id = lower(hex(i.item_id))
WHERE coalesce(b.micros, 0) <> i.micros OR coalesce(b.gross_micros, 0) <> abs(i.micros)
