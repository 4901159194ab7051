-- The newest day with money, and the currencies with their amounts.
SELECT
    c.currency,                                   -- one row for each
    max(c.day) FILTER (WHERE c.expected_micros <> 0 OR c.billed_micros <> 0) AS newest_day, -- the last day with money
    sum(abs(c.expected_micros) + abs(c.billed_micros)) AS weight -- the currency with most money comes first
FROM conservation c
GROUP BY c.currency
ORDER BY weight DESC, c.currency
