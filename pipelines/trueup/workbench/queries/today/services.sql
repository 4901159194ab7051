-- Expected and billed money of the period by service.
-- Grain: one row per service. Owner: workbench.
SELECT
    if(c.service = '', 'without service', c.service) AS service, -- service of the usage, or of a charge without usage
    sum(c.expected_micros) AS expected_micros,    -- money that should have been billed
    sum(c.billed_micros) AS billed_micros         -- money that was billed
FROM conservation c
WHERE c.currency = $currency AND c.day BETWEEN $from_day AND $to_day
GROUP BY ALL
ORDER BY expected_micros DESC, service
