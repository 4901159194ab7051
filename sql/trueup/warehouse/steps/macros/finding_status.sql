-- Status of a finding, from its last change and its last decision. A decision counts until later records close the finding. A
-- finding that a correcting charge resolved is recovered. Owner: warehouse.
CREATE OR REPLACE MACRO steps.finding_status(stands, action, cause, decision) AS CASE
    WHEN stands THEN coalesce(nullif(decision, 'reopened'), 'open')
    WHEN action = 'resolved' AND cause = 'recovery' THEN 'recovered'
    ELSE action
END;
