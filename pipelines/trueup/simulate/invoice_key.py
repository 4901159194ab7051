"""Name what a finding about invoices is about, as truth and findings compare it: a number, or an account and a period."""

from __future__ import annotations

import polars as pl

BY_PERIOD = ("missing_invoice", "uninvoiced_charge")
"""Kinds of findings about an account and a period; all others are about a number."""


def invoice_key(kind: str, number: str, account: str, period_from: str) -> pl.Expr:
    """Return the text of each row's number, or of its account and first day (a date), by the names of their columns."""
    of_period = pl.concat_str(pl.col(account), pl.col(period_from).dt.strftime("%Y-%m-%d"), separator=" ")
    return pl.when(pl.col(kind).is_in(list(BY_PERIOD))).then(of_period).otherwise(number)
