"""Cross-row checks: refuse rows of a part by comparison with each other and with the log, inside the commit."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from trueup.events.reasons import Reason
from trueup.rating.book_validation import refusals

REFUSED: dict[str, pl.DataType] = {"source_row": pl.Int64(), "reason": pl.String(), "rule": pl.String()}
"""Columns of a refused row: its number, reason and rule. Where several rules refuse a row, the first counts."""

Known = Callable[[], pl.DataFrame]
"""Reads the stream's rows in the log: all columns and the position, in order of commit.

A check that needs no known rows does not call it.
"""

Check = Callable[[Known, pl.DataFrame], pl.DataFrame]
"""Returns rows of `REFUSED` for the known rows and the new rows (columns of `EVENT`, in the order of their unit)."""


def ending_before_they_begin(new: pl.DataFrame) -> pl.DataFrame:
    """Return refusals of rows whose validity ends when it begins, or earlier."""
    return refusing(new, pl.col("valid_to") <= pl.col("valid_from"), "value_out_of_range", "valid_to: is after valid_from")


def refusing(rows: pl.DataFrame, bad: pl.Expr, reason: Reason, rule: str) -> pl.DataFrame:
    """Return the rows for which `bad` holds, as rows of `REFUSED`."""
    return rows.filter(bad).select("source_row", reason=pl.lit(reason), rule=pl.lit(rule))


CHECKS: dict[str, Check] = {
    "subscriber": lambda _, new: ending_before_they_begin(new),
    "tariff": lambda known, new: refusals(known(), new),
}
"""Checks by stream. A stream without a check has no row that another row could refuse."""


def refused(stream: str, known: Known, new: pl.DataFrame) -> pl.DataFrame:
    """Return the new rows of a stream that its check refuses, each once."""
    check = CHECKS.get(stream)
    if check is None or new.is_empty():
        return pl.DataFrame(schema=REFUSED)
    refused_rows = check(known, new).select(pl.col(name).cast(dtype) for name, dtype in REFUSED.items())
    return refused_rows.unique("source_row", keep="first", maintain_order=True)
