"""Fraud: what a transaction's parties did before it, a model that judges it, and the reasons it gives."""
