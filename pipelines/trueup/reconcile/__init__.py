"""Reconciliation: sessions → match → rate → assess, as pure functions on Polars frames."""
