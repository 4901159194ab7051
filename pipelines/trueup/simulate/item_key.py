"""Make the key by which item findings and the truth are compared, because an unbilled item has no record."""

from __future__ import annotations

import polars as pl


def item_key(subscriber: str, item: str, period_from: str) -> pl.Expr:
    """Return the key of each row: subscriber, item and period. The arguments name the columns; the instant is in UTC."""
    instant = pl.col(period_from).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pl.concat_str(pl.col(subscriber), pl.col(item), instant, separator=" ")
