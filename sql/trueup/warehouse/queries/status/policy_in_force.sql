-- The policy in force at the position asked for, as JSON. Grain: one row, or none before the first policy.
SELECT p.content FROM steps.policy_now p
