-- Provisional findings among the findings concerned, in place of the step `finding_provisional`. Only a decision about a feed
-- changes which findings are provisional, and the views are copied again after such a decision.
-- Grain: one row per finding. Owner: workbench.
SELECT f.finding_id, NULL::VARCHAR AS reason FROM temp.main.concerned_finding f WHERE f.provisional
