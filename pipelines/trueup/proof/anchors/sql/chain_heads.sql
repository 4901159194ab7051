-- The last control row of each source up to a snapshot. Grain: one source. Owner: proof.
SELECT source, sequence_no, hash
FROM lake.events.control
WHERE snapshot_id <= $snapshot
QUALIFY row_number() OVER (PARTITION BY source ORDER BY sequence_no DESC, hash) = 1
ORDER BY source
