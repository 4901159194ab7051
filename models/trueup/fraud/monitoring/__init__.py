"""Drift, alert rate and label rate of days of scoring."""
