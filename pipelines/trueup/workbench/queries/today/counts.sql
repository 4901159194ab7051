-- Counts and sums beside the proven money: provisional money, money at stake in feeds, recovered money and suspected fraud.
-- Grain: one row. Owner: workbench.
SELECT
    (SELECT coalesce(sum(f.impact), 0) FROM findings f WHERE f.currency = $currency AND f.day BETWEEN $from_day AND $to_day
        AND f.provisional AND f.status IN ('open', 'confirmed')) AS provisional, -- money of findings that may vanish
    (SELECT coalesce(sum(f.impact), 0) FROM findings f WHERE f.currency = $currency AND f.day BETWEEN $from_day AND $to_day
        AND f.status = 'claimed') AS claimed, -- money that a person says was recovered
    (SELECT coalesce(sum(e.impact_low), 0) FROM exposure_by_day e WHERE e.currency = $currency
        AND e.day BETWEEN $from_day AND $to_day) AS exposure_low, -- least money in records that are missing
    (SELECT coalesce(sum(e.impact_high), 0) FROM exposure_by_day e WHERE e.currency = $currency
        AND e.day BETWEEN $from_day AND $to_day) AS exposure_high, -- most money in records that are missing
    (SELECT count(*) FROM cases c WHERE c.type = 'fraud' AND c.status = 'open' AND c.day BETWEEN $from_day AND $to_day) AS fraud_cases -- number of open fraud cases
