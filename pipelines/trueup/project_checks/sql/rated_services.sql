-- Services with a rate in the tariff book. Grain: one service. Owner: project checks.
SELECT DISTINCT t.service
FROM lake.events.tariff AS t
WHERE t.item = 'rate'
ORDER BY t.service
