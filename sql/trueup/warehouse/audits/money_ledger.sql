-- The accounts of the money ledger add up to zero in every entry. The accounts of an item, without `assessed` and `recovered`, add
-- up to its money now.
-- A row: an entry or an item that does not add up.
WITH items AS (
    SELECT i.item_id, any_value(i.micros) AS micros FROM steps.money_item i GROUP BY i.item_id
),
booked AS (
    SELECT l.item_id, sum(l.micros) FILTER (WHERE l.account NOT IN ('assessed', 'recovered')) AS micros FROM main.money_ledger l GROUP BY l.item_id
)
SELECT l.item_id, l.entry, sum(l.micros) AS difference_micros
FROM main.money_ledger l
GROUP BY l.item_id, l.entry
HAVING sum(l.micros) <> 0
UNION ALL
SELECT lower(hex(i.item_id)), NULL, coalesce(b.micros, 0) - i.micros
FROM items i
LEFT JOIN booked b ON b.item_id = lower(hex(i.item_id))
WHERE coalesce(b.micros, 0) <> i.micros
