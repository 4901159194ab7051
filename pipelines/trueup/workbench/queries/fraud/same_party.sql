-- The cases of one party.
-- Grain: one row per case. Owner: workbench.
SELECT c.case_id, c.day, c.transactions, c.probability, c.status FROM cases c WHERE c.party = $party ORDER BY c.day
