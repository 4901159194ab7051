"""Name an item of a subscription in one period, as truth and findings compare it: no record is about an item not billed."""

from __future__ import annotations

import polars as pl


def item_key(subscriber: str, item: str, period_from: str) -> pl.Expr:
    """Return the text of each row's subscriber, item and period, by the names of their columns; the instant is in UTC."""
    instant = pl.col(period_from).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pl.concat_str(pl.col(subscriber), pl.col(item), instant, separator=" ")
