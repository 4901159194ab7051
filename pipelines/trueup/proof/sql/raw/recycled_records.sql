-- Records of a unit that were mapped again, as they were first rejected. Grain: one record. Owner: proof.
SELECT r.part_no, r.outcome, q.event_id, q.source_row, q.source_offset, q.source_length
FROM lake.events.recycling AS r
LEFT JOIN lake.events.quarantine AS q ON q.event_id = r.event_id
WHERE r.source_id = $source_id
ORDER BY r.part_no, q.source_row
