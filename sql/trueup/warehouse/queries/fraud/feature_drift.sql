-- Drift of each day from the training data, by model and feature.
SELECT d.model_id, d.day, d.feature, d.transactions, d.psi FROM main.fraud_drift d
