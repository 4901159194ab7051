-- The money of each item that decisions in force about a part of the money have moved; arguments as of `money_shares`.
-- Owner: investigation.
CREATE OR REPLACE MACRO steps.money_taken(items, decisions) AS TABLE (
    SELECT s.item_id, sum(s.micros) AS micros FROM steps.money_shares(items, decisions) s WHERE s.until_snapshot IS NULL GROUP BY s.item_id
);
