-- The policy in force at the requested position, as JSON. Grain: one row, or none before the first policy.
SELECT p.content FROM steps.policy_now p
