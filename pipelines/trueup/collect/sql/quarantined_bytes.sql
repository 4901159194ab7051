-- Bytes of the rejected records of one unit. Grain: one row. Owner: collect.
SELECT coalesce(sum(octet_length(raw)), 0)::BIGINT AS kept_bytes FROM lake.events.quarantine WHERE source_id = $source_id
