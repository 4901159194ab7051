-- The money of the cases concerned, in place of the step `fraud_money`.
-- Grain: one row per suspicious transaction that is charged. Owner: workbench.
SELECT m.* FROM copy.kept.fraud_money m SEMI JOIN temp.main.concerned_case c ON unhex(c.case_id) = m.case_id
