"""Reconciliation: sessions, matching, pricing, booking and findings, as pure functions on Polars frames."""
