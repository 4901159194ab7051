-- Requested links of the hash chains of sources. Grain: one control row. Owner: proof.
SELECT c.source, c.sequence_no, c.hash
FROM lake.events.control c
SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS source, unnest(?::BIGINT[]) AS sequence_no) requested
    ON requested.source = c.source AND requested.sequence_no = c.sequence_no
ORDER BY 1, 2, 3
