-- Provisional findings among those concerned, in place of the step `finding_provisional`: only a decision about a feed changes which
-- findings are provisional, and after one the views are copied again.
-- Grain: one row per finding. Owner: workbench.
SELECT f.finding_id, NULL::VARCHAR AS reason FROM temp.main.concerned_finding f WHERE f.provisional
