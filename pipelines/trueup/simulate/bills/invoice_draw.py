"""Bill each account and cycle: choose the charges of its invoice, the time of issue, the net amount and the tax."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from trueup.simulate.contracts.contract_draw import ZONE, Months
from trueup.simulate.contracts.price_list import LINE, TAX_PERCENT
from trueup.simulate.market.services import CURRENCY

ISSUED_AFTER = timedelta(days=3)
"""Time from the end of a cycle to the issue of its invoice."""
GRACE, LATENESS = timedelta(days=10), timedelta(days=1)
TOLERANCE_MICROS = 20_000
"""Tolerance of the tax: net amounts are rounded to whole cents, so the tax on them can differ by some cents."""
OTHER_TAX_PERCENT = 7
_CENT = 10_000
_HOUR_OF_ISSUE = 6


def collect_charges(rentals: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Return all charges with the `day` by which each gets its cycle: for a charge in arrears the last day of its period."""
    is_after = (pl.col("billed_at") >= pl.col("period_to")).fill_null(False)
    last = pl.col("period_to") - pl.duration(microseconds=1)
    items = rentals.select(
        "line_id", "account", "amount_micros", currency=pl.lit(CURRENCY), is_usage=pl.lit(False), start="billed_at",
        day=pl.when(is_after).then(last).otherwise("period_from").dt.date(),
    )  # fmt: skip
    own = lines.select(
        "line_id", "account", "amount_micros", "currency", is_usage=pl.lit(True), start="start", day=pl.col("start").dt.date()
    )
    utc = pl.col("start").dt.replace_time_zone(ZONE).dt.convert_time_zone("UTC")
    return pl.concat([items, own]).with_columns(utc).sort("line_id")


def assign_bills(
    contracts: pl.DataFrame, due: pl.DataFrame, charges: pl.DataFrame, months: Months
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return one bill per account and ended cycle, and the charges with their `bill`; NULL: not yet billed.

    The first bill also has the charges before the first cycle. A charge of an idle cycle that has not ended is on the bill before.
    """
    periods = due.filter(pl.col("item") == LINE).join(contracts.select("contract", "account"), on="contract").select(
        "account", "charged_days", period_from=pl.col("period_from").dt.date(), period_to=pl.col("period_to").dt.date()
    ).sort("period_from", "account").with_row_index("bill")  # fmt: skip
    periods = periods.with_columns(pl.col("bill").cast(pl.Int64), is_over=pl.col("period_to") + ISSUED_AFTER <= months.last)
    by_day = {"by": "account", "strategy": "backward", "check_sortedness": False}
    placed = charges.sort("day", "line_id").join_asof(
        periods, left_on="day", right_on="period_from", **by_day  # type: ignore[arg-type]
    )  # fmt: skip
    earliest = periods.group_by("account").agg(earliest=pl.col("bill").first())
    over = periods.filter("is_over").select("account", "period_from", last_over="bill")
    placed = placed.join(earliest, on="account", how="left", maintain_order="left").join_asof(
        over, left_on="day", right_on="period_from", **by_day  # type: ignore[arg-type]
    )  # fmt: skip
    is_idle = (pl.col("charged_days") == 0).fill_null(False)
    bill = pl.when(pl.col("bill").is_null()).then("earliest").when(is_idle & ~pl.col("is_over")).then("last_over").otherwise("bill")
    is_own = ((pl.col("bill") == bill) & (pl.col("day") < pl.col("period_to")) & (pl.col("charged_days") > 0)).fill_null(False)
    on_bill = placed.select("line_id", "account", "amount_micros", "currency", "is_usage", "start", bill=bill, is_own=is_own)
    bills = _add_bill_sums(periods.filter("is_over"), on_bill)
    known = on_bill.join(bills.select("bill", is_billed=True), on="bill", how="left", maintain_order="left")
    return bills, known.with_columns(bill=pl.when("is_billed").then("bill")).drop("is_billed").sort("line_id")


def _add_bill_sums(periods: pl.DataFrame, on_bill: pl.DataFrame) -> pl.DataFrame:
    """Add the sums of each bill's charges, and drop cycles with neither an active day nor a charge."""
    is_home, by_size = pl.col("currency") == CURRENCY, ["amount_micros", "line_id"]
    sums = on_bill.drop_nulls("bill").group_by("bill").agg(
        charged_micros=pl.col("amount_micros").filter(is_home).sum(), foreign_micros=pl.col("amount_micros").filter(~is_home).sum(),
        lines=is_home.sum().cast(pl.Int64), usage_lines=pl.col("is_usage").sum().cast(pl.Int64), is_own=pl.col("is_own").all(),
        greatest_line=pl.col("line_id").filter(is_home).sort_by(pl.struct(by_size).filter(is_home)).last(),
        greatest_micros=pl.col("amount_micros").filter(is_home).max(), line_ids=pl.col("line_id").sort(),
    )  # fmt: skip
    rows = periods.join(sums, on="bill", how="left", maintain_order="left").filter(
        (pl.col("charged_days") > 0) | pl.col("lines").is_not_null()
    )
    numbers = ("charged_micros", "foreign_micros", "lines", "usage_lines", "greatest_micros")
    issued = (pl.col("period_to") + ISSUED_AFTER).cast(pl.Datetime("us", "UTC")) + pl.duration(hours=_HOUR_OF_ISSUE)
    return rows.with_columns(pl.col(*numbers).fill_null(0), pl.col("is_own").fill_null(True), issued_at=issued).drop("is_over")


def net_of(total: pl.Expr, percent: int = TAX_PERCENT) -> pl.Expr:
    """Return the net amount of a total with tax, rounded half up to cents; both in millionths."""
    over = (100 + percent) * _CENT
    return total.sign() * ((2 * total.abs() * 100 + over) // (2 * over)) * _CENT


def tax_of(net: pl.Expr) -> pl.Expr:
    """Return the tax on a net amount, rounded half up to cents; both in millionths."""
    over = 100 * _CENT
    return net.sign() * ((2 * net.abs() * TAX_PERCENT + over) // (2 * over)) * _CENT
