-- The policy in force at the requested position: the last policy declared up to it.
-- Grain: one row, or none before the first policy. Owner: warehouse.
SELECT
    d.content,                                    -- the policy as JSON: services, default, sources, timezone, currency
    json_extract_string(d.content, '$.currency') AS currency, -- the project's currency
    steps.known_zone(json_extract_string(d.content, '$.timezone')) AS timezone -- the project's time zone
FROM lake.events.declaration d
WHERE d.kind = 'policy' AND d.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
ORDER BY d.snapshot_id DESC
LIMIT 1
