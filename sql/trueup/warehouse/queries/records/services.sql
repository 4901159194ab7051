-- Every service of usage, charges and tariffs.
-- Grain: one row per service.
SELECT u.service                                  -- as in the records; '' for records without a service is left out
FROM lake.events.usage u
WHERE u.service <> ''
UNION
SELECT c.service FROM lake.events.charge c WHERE c.service <> ''
UNION
SELECT t.service FROM lake.events.tariff t WHERE t.service <> ''
ORDER BY ALL
