"""Cross-row checks: refuse rows of a part by comparison with each other and with the log, inside the commit."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from trueup.events.reasons import Reason
from trueup.rating.book_validation import refusals
from trueup.zones import zone_names

REFUSED: dict[str, pl.DataType] = {"source_row": pl.Int64(), "reason": pl.String(), "rule": pl.String()}
"""Columns of a refused row: its number, reason and rule. Where several rules refuse a row, only the first is recorded."""

Known = Callable[[], pl.DataFrame]
"""Reads the stream's rows in the log: all columns and the position, in order of commit.

A check that needs no known rows does not call it.
"""

Check = Callable[[Known, pl.DataFrame], pl.DataFrame]
"""Returns rows of `REFUSED` for the known rows and the new rows (columns of `EVENT`, in the order of their unit)."""


def find_empty_validities(new: pl.DataFrame) -> pl.DataFrame:
    """Return refusals of rows whose validity ends at or before its beginning."""
    return refuse_rows(new, pl.col("valid_to") <= pl.col("valid_from"), "value_out_of_range", "valid_to: is after valid_from")


def find_unknown_zones(new: pl.DataFrame) -> pl.DataFrame:
    """Return refusals of subscriptions whose time zone is not in the tz database."""
    unknown = pl.col("timezone").is_not_null() & ~pl.col("timezone").is_in(sorted(zone_names()))
    return refuse_rows(new, unknown, "value_out_of_range", "timezone: is a time zone")


def find_bad_item_charges(new: pl.DataFrame) -> pl.DataFrame:
    """Return refusals of item charges without period and time, and of period charges without an item."""
    if new.select(pl.col("item", "period_from", "period_to").is_null().all()).row(0) == (True, True, True):
        return pl.DataFrame(schema=REFUSED)
    timeless = pl.all_horizontal(pl.col(n).is_null() for n in ("period_from", "started_at", "billed_at"))
    of_period = pl.any_horizontal(pl.col(n).is_not_null() for n in ("period_from", "period_to"))
    is_item = pl.col("item").is_not_null()
    rules: list[tuple[pl.Expr, Reason, str]] = [
        (is_item & timeless, "missing_required", "period_from: is there, or the charge has a time"),
        (is_item & pl.col("subscriber").is_null(), "missing_required", "subscriber: is there, for a charge of an item"),
        (~is_item & of_period, "missing_required", "item: is there, for a charge of a period"),
        (pl.col("period_from").is_null() & pl.col("period_to").is_not_null(), "missing_required", "period_from: is there"),
        (pl.col("period_to") <= pl.col("period_from"), "value_out_of_range", "period_to: is after period_from"),
    ]
    return pl.concat(refuse_rows(new, bad, reason, rule) for bad, reason, rule in rules)


def find_bad_invoices(new: pl.DataFrame) -> pl.DataFrame:
    """Return refusals of invoices without a period, credit notes with a positive total, and impossible references."""
    is_credit = pl.col("kind") == "credit_note"
    rules: list[tuple[pl.Expr, Reason, str]] = [
        (~is_credit & pl.col("period_from").is_null(), "missing_required", "period_from: is there, for an invoice"),
        (~is_credit & pl.col("period_to").is_null(), "missing_required", "period_to: is there, for an invoice"),
        (pl.col("period_from").is_null() & pl.col("period_to").is_not_null(), "missing_required", "period_from: is there"),
        (pl.col("period_to") < pl.col("period_from"), "value_out_of_range", "period_to: is not before period_from"),
        (is_credit & (pl.col("total_micros") > 0), "inconsistent", "total: is not above zero, for a credit note"),
        (~is_credit & pl.col("refers_to").is_not_null(), "inconsistent", "refers_to: is missing, for an invoice"),
        (pl.col("refers_to") == pl.col("number"), "inconsistent", "refers_to: is another number"),
        (pl.col("replaces") == pl.col("number"), "inconsistent", "replaces: is another number"),
    ]
    return pl.concat(refuse_rows(new, bad, reason, rule) for bad, reason, rule in rules)


def refuse_rows(rows: pl.DataFrame, bad: pl.Expr, reason: Reason, rule: str) -> pl.DataFrame:
    """Return the rows for which `bad` holds, as rows of `REFUSED`."""
    return rows.filter(bad).select("source_row", reason=pl.lit(reason), rule=pl.lit(rule))


CHECKS: dict[str, Check] = {
    "charge": lambda _, new: find_bad_item_charges(new),
    "invoice": lambda _, new: find_bad_invoices(new),
    "subscriber": lambda _, new: pl.concat([find_empty_validities(new), find_unknown_zones(new)]),
    "tariff": lambda known, new: refusals(known(), new),
}
"""Each stream to its check. In a stream without a check, no row is refused because of another row."""


def refused(stream: str, known: Known, new: pl.DataFrame) -> pl.DataFrame:
    """Return the new rows of a stream that its check refuses, each once; `new` is in any order."""
    check = CHECKS.get(stream)
    if check is None or new.is_empty():
        return pl.DataFrame(schema=REFUSED)
    refused_rows = check(known, new.sort("source_row")).select(pl.col(name).cast(dtype) for name, dtype in REFUSED.items())
    return refused_rows.unique("source_row", keep="first", maintain_order=True)
