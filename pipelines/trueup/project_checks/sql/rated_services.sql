-- Services that the tariff book has a rate for. Grain: one service. Owner: project checks.
SELECT DISTINCT t.service
FROM lake.events.tariff AS t
WHERE t.item = 'rate'
ORDER BY t.service
