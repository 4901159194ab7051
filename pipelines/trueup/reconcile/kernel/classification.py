"""The kind of a difference: of quantity, of amount, or too small to be one."""

from __future__ import annotations

import polars as pl

from trueup.reconcile.domain.bookings import PENDING, QUANTITY, TOLERATED, UNRATED
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.pricing.allowance_pools import Pools
from trueup.reconcile.pricing.session_price import price_sessions


def classify_flat() -> pl.Expr:
    """The kind of a matched pair or period by its own columns: usage and charge quantities, rules, prices and billed.

    `charged_micros` is the price of `charge_quantity`, which is NULL where a charge names none: it is then judged by its
    amount alone. Billed between the prices of the two quantities, widened by the amount tolerance, is tolerated: a unit
    rounded across the quantity tolerance is no error.
    """
    expected, billed, tolerance = pl.col("expected_micros"), pl.col("billed_micros"), pl.col("amount_tolerance_micros")
    other = pl.coalesce("charged_micros", expected)
    low, high = pl.min_horizontal(expected, other) - tolerance, pl.max_horizontal(expected, other) + tolerance
    return (
        pl.when(_quantities_differ()).then(pl.when(expected > billed).then(pl.lit("underbilled")).otherwise(pl.lit("overbilled")))
        .when((low <= billed) & (billed <= high)).then(pl.lit(TOLERATED)).otherwise(pl.lit("misrated"))
    )  # fmt: skip


def _quantities_differ() -> pl.Expr:
    """Whether quantities are further apart than tolerated."""
    apart = (pl.col("usage_quantity") - pl.col("charge_quantity")).abs() > pl.col("quantity_tolerance_micros")
    return apart.fill_null(False)


def quantity_and_amount_kinds() -> tuple[pl.Expr, pl.Expr]:
    """The kinds of the two parts of a difference from a tariff's price: by the quantity, and by the amount for that quantity.

    expected − billed = (expected − price of the charged quantity) + (price of the charged quantity − billed). What the pool of
    a pair says of its amount is its `verdict`.
    """
    charged = pl.coalesce("charged_micros", "expected_micros")
    lost, wrong = pl.col("expected_micros") - charged, charged - pl.col("billed_micros")
    by_quantity = pl.when(lost > 0).then(pl.lit("underbilled")).otherwise(pl.lit("overbilled"))
    return (
        pl.when((lost != 0) & _quantities_differ()).then(by_quantity).otherwise(pl.lit(TOLERATED)),
        pl.when(wrong.abs() > pl.col("amount_tolerance_micros"))
        .then(pl.coalesce("verdict", pl.lit("misrated")))
        .otherwise(pl.lit(TOLERATED)),
    )


def with_charged_price(pairs: pl.DataFrame, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Adds `charged_micros`, the price of the charged quantity, to pairs; NULL where there is none.

    `pairs` are as `priced` takes them, with `usage_quantity`, `charge_quantity` and the price of the usage.
    """
    same = (pl.col("charge_quantity") == pl.col("usage_quantity")).fill_null(False)
    pairs = pairs.with_columns(same=same)
    if pairs["same"].all():
        return pairs.with_columns(charged_micros="expected_micros").drop("same")
    other = pairs.filter(~pl.col("same"))
    other = other.with_columns(charged_micros=price_sessions(other, terms, pools, quantity="charge_quantity")["expected_micros"])
    return pl.concat([pairs.filter("same").with_columns(charged_micros="expected_micros"), other]).drop("same")


def classify(pairs: pl.DataFrame) -> pl.DataFrame:
    """Gives pairs (with a `verdict`) their kind; what a tariff prices is told in two parts where quantity and amount differ."""
    flat = pl.col("price_micros").is_not_null()
    by_quantity, by_amount = quantity_and_amount_kinds()
    charged = pl.coalesce("charged_micros", "expected_micros")
    parts = {"quantity_difference": pl.col("expected_micros") - charged, "amount_difference": charged - pl.col("billed_micros")}
    told = pairs.with_columns(by_quantity=by_quantity, by_amount=by_amount, **parts)
    settled = (
        pl.when("open").then(pl.lit(PENDING)).when("unrated").then(pl.lit(UNRATED)).when(flat).then(classify_flat())
    )  # fmt: skip
    one = pl.when(pl.col("amount_difference") == 0).then("by_quantity").otherwise("by_amount")
    apart = (
        (pl.col("quantity_difference") != 0) & (pl.col("amount_difference") != 0) & (pl.col("by_quantity") != pl.col("by_amount"))
    )
    told = told.with_columns(kind=settled).with_columns(two_part=pl.col("kind").is_null() & apart)
    told = told.with_columns(kind=pl.coalesce("kind", pl.when("two_part").then("by_amount").otherwise(one)))
    if not told["two_part"].any():
        return told
    none = pl.lit(0, pl.Int128)
    quantity = told.filter("two_part").with_columns(
        part=pl.lit(QUANTITY),
        kind="by_quantity",
        expected_micros="quantity_difference",
        billed_micros=none,
        unrated_records=pl.lit(0, pl.UInt32),
    )
    amount = pl.when("two_part").then(charged).otherwise("expected_micros")
    return pl.concat([told.with_columns(expected_micros=amount), quantity], how="vertical_relaxed")
