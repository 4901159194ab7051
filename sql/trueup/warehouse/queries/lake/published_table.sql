-- Description of a published file: one row.
CREATE TABLE published.main.published AS
SELECT
    CAST($position AS BIGINT) AS position,        -- the position of the log that the file shows
    CAST($reconciled AS BIGINT) AS reconciled_position, -- all positions up to this one are reconciled
    p.committed_at AS as_of,                      -- when the position was committed, UTC
    CAST($published_at AS TIMESTAMPTZ) AS published_at, -- when the file was written, UTC
    CAST($version AS VARCHAR) AS version,         -- version of trueup that wrote the file
    CAST($timezone AS VARCHAR) AS timezone,       -- time zone of the days in the file
    CAST($state AS VARCHAR) AS state,             -- a hash of the inputs of the tables: equal hashes mean equal tables; NULL for an as-of file
    CAST($audits_held AS BIGINT) AS audits_held   -- number of audits that this state of the log passed; NULL where none was run
FROM (SELECT CAST($position AS BIGINT) AS position) requested
LEFT JOIN lake.events.position p ON p.position = requested.position
