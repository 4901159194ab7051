-- The commit of the newest finding, and the commit of the last search for root causes; NULL where there is none.
SELECT
    (SELECT max(f.snapshot_id) FROM lake.events.finding f) AS finding_snapshot,
    (SELECT max(c.snapshot_id) FROM lake.events.consumer c WHERE c.consumer = $consumer) AS searched_snapshot
