-- What a published file is: one row.
CREATE TABLE published.main.published AS
SELECT
    CAST($position AS BIGINT) AS position,        -- the position of the log it is as of
    CAST($reconciled AS BIGINT) AS reconciled_position, -- findings hold everything up to here
    p.committed_at AS as_of,                      -- when that position was taken in, UTC
    CAST($published_at AS TIMESTAMPTZ) AS published_at, -- when it was written, UTC
    CAST($version AS VARCHAR) AS version,         -- of trueup
    CAST($timezone AS VARCHAR) AS timezone,       -- of its days
    CAST($state AS VARCHAR) AS state,             -- a hash of all it is made of: the same hash, the same tables; NULL of an earlier state
    CAST($audits_held AS BIGINT) AS audits_held   -- how many audits held of that state; NULL where none was asked for
FROM (SELECT CAST($position AS BIGINT) AS position) asked
LEFT JOIN lake.events.position p ON p.position = asked.position
