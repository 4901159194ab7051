-- The newest day with money, and each currency with its amounts.
SELECT
    c.currency,                                   -- one row for each currency
    max(c.day) FILTER (WHERE c.expected_micros <> 0 OR c.billed_micros <> 0) AS newest_day, -- the last day with money in the currency
    sum(abs(c.expected_micros) + abs(c.billed_micros)) AS weight -- weight of the currency: the currency with the most money is first
FROM conservation c
GROUP BY c.currency
ORDER BY weight DESC, c.currency
