-- The money charged for suspicious transactions.
-- Grain: one row per suspicious transaction that is charged. Owner: workbench.
FROM steps.fraud_money
