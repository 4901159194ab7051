-- Records of one unit in quarantine that no recycling has mapped again, in the order of the file, after the record number $after.
-- Of a unit with the present mapping ($is_present) only the records that the clock refused are read. The mapping would reject the
-- others again.
-- Grain: one record. Owner: collect.
SELECT q.event_id, q.source_row, q.source_offset, q.source_length
FROM lake.events.quarantine AS q
WHERE
    q.source_id = $source_id AND q.source_row > $after AND ($reason IS NULL OR q.reason = $reason)
    AND (NOT $is_present OR q.reason = 'time_out_of_range')
    AND q.event_id NOT IN (SELECT r.event_id FROM lake.events.recycling AS r)
ORDER BY q.source_row
LIMIT $most
