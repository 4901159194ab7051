-- Decisions on the subjects concerned, and on all cases of root causes, whose notes are shown together. They replace the log's
-- table.
-- Grain: one row per decision. Owner: workbench.
-- A decision made while the views were copied may be in both sources, and counts once.
FROM (FROM copy.kept.decisions UNION BY NAME FROM memory.decided.decisions) d
WHERE d.finding_id IN (SELECT o.case_id FROM copy.kept.case_opening o)
    OR d.finding_id IN (SELECT f.finding_id FROM temp.main.concerned_finding f)
    OR d.finding_id IN (SELECT s.event_id FROM temp.main.concerned_suspicion s)
    OR d.finding_id IN (SELECT unhex(c.case_id) FROM temp.main.concerned_case c)
