"""Lines of sums: among the charges of one service, subscriber and period, find a line that was charged once too often.

A line is an *excess* on two conditions. It equals another line of its period in all core columns except record key, invoice and
billing time. Without it, the period is within tolerance. Of several such lines, the line with the greatest (time, record key) is
the excess. So equal weekly lines within a month are legitimate if all of them are due.
"""

from __future__ import annotations

import polars as pl

from trueup.rating.flat import flat_price
from trueup.reconcile.blocking.components import CELL
from trueup.reconcile.domain.bookings import SURPLUS, TOLERATED
from trueup.reconcile.kernel.classification import classify_flat

DIFFERING = ["misrated", "overbilled", "underbilled"]
"""The kinds of periods with usage and lines that are beyond tolerance: one of their lines may be an excess."""
REPEATED: dict[str, pl.DataType] = {
    **dict.fromkeys(("component", "at", "cell", "record_no", "line_us"), pl.Int64()),
    **dict.fromkeys(("line_micros", "line_quantity", "line_value"), pl.Int128()),
}
"""A line that equals another one, with its amount, its quantity and the price of that quantity."""
_CORE = [
    "key_scope", "own_service", "own_subscriber", "session_key", "peer", "node", "direction", "quantity_micros", "amount_micros",
    "charge_currency", "partial_no", "record_version", "line",
]  # fmt: skip
"""The core columns, except times, by which lines are compared; `line` is a hash of columns that the kernel uses only for this."""


def charged_micros() -> pl.Expr:
    """Return the price of the charged quantity of a period; NULL where there is none."""
    flat = flat_price(pl.col("charge_quantity"), pl.col("price_micros"), pl.col("price_per"))
    return pl.when(pl.col("charge_quantity").is_not_null()).then(pl.coalesce(flat, "charged_value"))


def judged_kind() -> pl.Expr:
    """Return the kind of a period with usage and charges, by the difference that correcting charges leave."""
    remaining = pl.col("expected_micros") - pl.col("billed_micros")
    is_settled = pl.col("corrected_micros").is_not_null() & (remaining.abs() <= pl.col("amount_tolerance_micros"))
    return pl.when(is_settled).then(pl.lit(TOLERATED)).otherwise(classify_flat())


def repeated_lines(charges: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Return `REPEATED` of the lines of sums."""
    judged = charges.filter(pl.col("judges_lines") & (pl.col("amount_micros") > 0))
    # Few periods have two lines of one amount, and comparing three numbers is quicker than comparing all columns.
    several = judged.filter(pl.struct("component", "at", "amount_micros").is_duplicated())
    started = pl.when("started").then("time_us").alias("started_us")
    equal = several.with_columns(like=pl.struct("component", "at", *CELL, *_CORE, started))
    equal = equal.filter(pl.col("like").is_duplicated())
    last = equal.sort("aggregation_time_us", "record_no").unique("like", keep="last", maintain_order=True)
    in_cells = last.drop("like").join(cells, on=CELL, nulls_equal=True)
    of_lines = in_cells.with_columns(
        line_us="aggregation_time_us", line_micros="amount_micros", line_quantity="quantity_micros", line_value="charged_value"
    )
    return of_lines.select(pl.col(n).cast(t) for n, t in REPEATED.items())


def excess_lines(judged: pl.DataFrame, repeated: pl.DataFrame) -> pl.DataFrame:
    """Return the excess line (`REPEATED`) of each period that is beyond tolerance with it, and within tolerance without."""
    if repeated.is_empty():
        return repeated
    differs = judged.filter(pl.col("kind").is_in(DIFFERING))
    lines = differs.join(repeated, on=["component", "at", "cell"]).with_columns(
        billed_micros=pl.col("billed_micros") - pl.col("line_micros"),
        charge_quantity=pl.col("charge_quantity") - pl.col("line_quantity"),
        charged_value=pl.col("charged_value") - pl.col("line_value"),
    )
    tolerated = lines.with_columns(charged_micros=charged_micros()).filter(judged_kind() == TOLERATED).sort("line_us", "record_no")
    return tolerated.unique(["component", "at", "cell"], keep="last", maintain_order=True).select(*REPEATED)


def split_excess(judged: pl.DataFrame, excess: pl.DataFrame) -> pl.DataFrame:
    """Return periods, and their excess line as a part of its own."""
    if excess.is_empty():
        return judged
    with_line = judged.join(excess.select("component", "at", "cell", "line_micros"), on=["component", "at", "cell"], how="left")
    has_line = pl.col("line_micros").is_not_null()
    main = with_line.with_columns(
        billed_micros=pl.col("billed_micros") - pl.col("line_micros").fill_null(0),
        kind=pl.when(has_line).then(pl.lit(TOLERATED)).otherwise("kind"),
    )
    surplus = with_line.filter(has_line).with_columns(
        part=pl.lit(SURPLUS), kind=pl.lit("duplicate_charge"), expected_micros=pl.lit(0, pl.Int128), billed_micros="line_micros",
        unrated_records=pl.lit(0, pl.UInt32), reason=pl.lit(None, pl.String),
    )  # fmt: skip
    return pl.concat([main, surplus], how="vertical_relaxed")
