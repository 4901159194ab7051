-- The commit of the newest finding, and the commit of the newest finding that the searches for root causes have read; NULL where there
-- is none. Findings may be committed while a search runs, so the commit of the search itself says nothing about what it read.
-- Searches of earlier versions recorded no such commit; the findings are searched once more after them.
SELECT
    (SELECT max(f.snapshot_id) FROM lake.events.finding f) AS finding_snapshot,
    (SELECT max(c.read_snapshot) FROM lake.events.consumer c WHERE c.consumer = $consumer) AS searched_snapshot
