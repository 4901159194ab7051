-- Description of a published file: one row.
CREATE TABLE published.main.published AS
SELECT
    CAST($position AS BIGINT) AS position,        -- the position of the log it is as of
    CAST($reconciled AS BIGINT) AS reconciled_position, -- all positions up to this one are reconciled
    p.committed_at AS as_of,                      -- when that position was committed, UTC
    CAST($published_at AS TIMESTAMPTZ) AS published_at, -- when it was written, UTC
    CAST($version AS VARCHAR) AS version,         -- version of trueup
    CAST($timezone AS VARCHAR) AS timezone,       -- time zone of its days
    CAST($state AS VARCHAR) AS state,             -- a hash of the inputs of its tables: equal hashes mean equal tables; NULL for an as-of file
    CAST($audits_held AS BIGINT) AS audits_held   -- number of audits that passed of that state; NULL where none was run
FROM (SELECT CAST($position AS BIGINT) AS position) requested
LEFT JOIN lake.events.position p ON p.position = requested.position
