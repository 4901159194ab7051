-- Whether the log has a record of one service. DuckDB skips files and row groups whose statistics exclude the service.
-- Grain: one row. Owner: project checks.
SELECT
    EXISTS (SELECT 1 FROM lake.events.usage AS u WHERE u.service = $service)
    OR EXISTS (SELECT 1 FROM lake.events.charge AS c WHERE c.service = $service) AS has_records
