"""What refuses rows against each other: checks of a whole part against itself and the log, made within its commit."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from trueup.collect.reasons import Reason
from trueup.rating.book_validation import refusals

REFUSED: dict[str, pl.DataType] = {"source_row": pl.Int64(), "reason": pl.String(), "rule": pl.String()}
"""Which rows of a part are refused, by which rule; where several refuse a row, the first counts."""

Known = Callable[[], pl.DataFrame]
"""Reads the stream's rows in the log, all columns and the position, in the order they became known.

A check that needs none of them does not call it.
"""

Check = Callable[[Known, pl.DataFrame], pl.DataFrame]
"""From what the log knows and the new rows (columns of `EVENT`, in the order of their unit) to rows of `REFUSED`."""


def ending_before_they_begin(new: pl.DataFrame) -> pl.DataFrame:
    """The rows that are valid at no time: they end when they begin, or before."""
    return refusing(new, pl.col("valid_to") <= pl.col("valid_from"), "value_out_of_range", "valid_to: is after valid_from")


def refusing(rows: pl.DataFrame, bad: pl.Expr, reason: Reason, rule: str) -> pl.DataFrame:
    """The rows for which `bad` holds, as rows of `REFUSED`."""
    return rows.filter(bad).select("source_row", reason=pl.lit(reason), rule=pl.lit(rule))


CHECKS: dict[str, Check] = {
    "subscriber": lambda _, new: ending_before_they_begin(new),
    "tariff": lambda known, new: refusals(known(), new),
}
"""By stream; one that is not here has no row that another could refuse."""


def refused(stream: str, known: Known, new: pl.DataFrame) -> pl.DataFrame:
    """The new rows of a stream that its check refuses, each once."""
    check = CHECKS.get(stream)
    if check is None or new.is_empty():
        return pl.DataFrame(schema=REFUSED)
    found = check(known, new).select(pl.col(name).cast(dtype) for name, dtype in REFUSED.items())
    return found.unique("source_row", keep="first", maintain_order=True)
