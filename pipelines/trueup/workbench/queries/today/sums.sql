-- Conservation of the period: the expected, billed, tolerated and pending money.
-- Grain: one row. Owner: workbench.
SELECT
    coalesce(sum(c.expected_micros), 0) AS expected_micros, -- money that should have been billed
    coalesce(sum(c.billed_micros), 0) AS billed_micros, -- money that was billed
    coalesce(sum(c.tolerated_micros) FILTER (WHERE c.tolerated_micros > 0), 0) AS tolerated_under_micros, -- differences within tolerance that were billed too little
    coalesce(-sum(c.tolerated_micros) FILTER (WHERE c.tolerated_micros < 0), 0) AS tolerated_over_micros, -- differences within tolerance that were billed too much
    coalesce(sum(c.pending_micros) FILTER (WHERE c.pending_micros > 0), 0) AS pending_usage_micros, -- usage whose charge may still arrive
    coalesce(-sum(c.pending_micros) FILTER (WHERE c.pending_micros < 0), 0) AS pending_charge_micros, -- charges whose usage may still arrive
    coalesce(sum(c.unrated_records), 0) AS unrated_records, -- usage without a price
    coalesce(sum(abs(c.difference_micros)), 0) AS difference_micros -- difference of the sums; must be 0
FROM conservation c
WHERE c.currency = $currency AND c.day BETWEEN $from_day AND $to_day
