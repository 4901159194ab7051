-- The newest day with money.
SELECT max(c.day) AS day FROM conservation c WHERE c.expected_micros <> 0 OR c.billed_micros <> 0
