-- The source units of some records: the file, its hash, and the hash of its control row in the chain of the source.
SELECT DISTINCT c.source_id, c.part_no, c.source, c.path, c.sha256, c.bytes, c.taken_at, c.hash AS chain_hash
FROM lake.events.control c
WHERE c.source_id IN (SELECT unnest(CAST($source_ids AS VARCHAR[])))
ORDER BY c.source_id, c.part_no
