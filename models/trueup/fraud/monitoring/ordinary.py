"""Choose the ordinary days, by which cases per day are counted."""

from __future__ import annotations

import polars as pl

_LEAST, _MOST = 0.5, 2.0


def ordinary_days(transactions_by_day: pl.DataFrame) -> pl.DataFrame:
    """Return the days with at least half and at most twice the transactions of the median day (`day`, `transactions`).

    Days of tests or bulk loads, and incomplete days, do not show the usual number of cases.
    """
    median = transactions_by_day["transactions"].median()
    assert isinstance(median, float | int)
    return transactions_by_day.filter(pl.col("transactions").is_between(_LEAST * median, _MOST * median))
