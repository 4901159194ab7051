-- Events of each case: opening, filings of findings, decisions.
-- Grain: one row per case and event. Owner: investigation.
SELECT
    lower(hex(o.case_id)) AS case_id,             -- id of the case
    o.opened_at AS at,                            -- time of the event
    'opened' AS event,                            -- opened, filed, or the decision
    NULL AS by,                                   -- name of the person; NULL for events of a search
    NULL AS note,                                 -- the note of the person
    CAST(o.evidence AS VARCHAR) AS details,       -- JSON: the counts of the search, the number of filed findings, or the details of the decision
    o.snapshot                                    -- the commit of the event
FROM steps.case_opening o
UNION ALL
SELECT
    lower(hex(f.case_id)), min(f.filed_at), 'filed', NULL, NULL, CAST(to_json({'findings': count(*)}) AS VARCHAR), f.snapshot
FROM steps.case_filing f
GROUP BY f.case_id, f.snapshot
UNION ALL
SELECT lower(hex(d.finding_id)), d.decided_at, d.decision, d.decided_by, d.note, CAST(e.details AS VARCHAR), d.snapshot
FROM steps.decision_event d
JOIN lake.events.decision e ON e.event_id = d.event_id AND e.snapshot_id = d.snapshot
-- Only ids of cases are read here, because the view `cases` would assess every finding.
WHERE d.finding_id IN (SELECT o.case_id FROM steps.case_opening o) OR lower(hex(d.finding_id)) IN (SELECT s.case_id FROM steps.suspicion s)
ORDER BY snapshot, event
