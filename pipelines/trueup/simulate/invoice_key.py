"""Make the key by which invoice findings and the truth are compared: an invoice number, or an account and a period."""

from __future__ import annotations

import polars as pl

BY_PERIOD = ("missing_invoice", "uninvoiced_charge")
"""Kinds of findings that concern an account and a period; all others concern an invoice number."""


def invoice_key(kind: str, number: str, account: str, period_from: str) -> pl.Expr:
    """Return the key of each row: its number, or its account and first day. The arguments name the columns."""
    of_period = pl.concat_str(pl.col(account), pl.col(period_from).dt.strftime("%Y-%m-%d"), separator=" ")
    return pl.when(pl.col(kind).is_in(list(BY_PERIOD))).then(of_period).otherwise(number)
