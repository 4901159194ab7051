-- The findings for this traffic in plain SQL: match by key, price, and sum the differences, without any history.
SELECT CASE WHEN c.session_key IS NULL THEN 'unbilled' WHEN u.session_key IS NULL THEN 'charge_without_usage' ELSE 'misrated' END AS kind,
       count(*) AS findings,
       sum(coalesce(u.quantity_micros / 10, 0) - coalesce(c.amount_micros, 0))::DECIMAL(38, 0) AS impact_micros
FROM lake.events.usage u
FULL JOIN lake.events.charge c ON c.session_key = u.session_key AND c.subscriber = u.subscriber
WHERE c.session_key IS NULL OR u.session_key IS NULL OR abs(u.quantity_micros / 10 - c.amount_micros) > 5000
GROUP BY ALL
