"""Classification: whether a pair differs by quantity, by amount, or within tolerance."""

from __future__ import annotations

import polars as pl

from trueup.reconcile.domain.bookings import PENDING, QUANTITY, TOLERATED, UNRATED


def classify_flat() -> pl.Expr:
    """Return the kind of a matched pair or period with a flat price, from its quantities, rules, prices and billed amount.

    `charged_micros` is the price of `charge_quantity`. A charge without a quantity is judged only by its amount. A billed amount
    between the prices of the two quantities, widened by the amount tolerance, is tolerated. So rounding a quantity within its
    tolerance is not an error.
    """
    expected, billed, tolerance = pl.col("expected_micros"), pl.col("billed_micros"), pl.col("amount_tolerance_micros")
    other = pl.coalesce("charged_micros", expected)
    low, high = pl.min_horizontal(expected, other) - tolerance, pl.max_horizontal(expected, other) + tolerance
    return (
        pl.when(_compare_quantities()).then(pl.when(expected > billed).then(pl.lit("underbilled")).otherwise(pl.lit("overbilled")))
        .when((low <= billed) & (billed <= high)).then(pl.lit(TOLERATED)).otherwise(pl.lit("misrated"))
    )  # fmt: skip


def _compare_quantities() -> pl.Expr:
    """Return whether quantities differ by more than the tolerance."""
    differ = (pl.col("usage_quantity") - pl.col("charge_quantity")).abs() > pl.col("quantity_tolerance_micros")
    return differ.fill_null(False)


def quantity_and_amount_kinds() -> tuple[pl.Expr, pl.Expr]:
    """Return the kinds of the two parts of a difference from a tariff's price: by quantity, and by amount for that quantity.

    expected − billed = (expected − price of the charged quantity) + (price of the charged quantity − billed). The `verdict` of a
    pair, if any, is the kind that its pool gives its amount.
    """
    charged = pl.coalesce("charged_micros", "expected_micros")
    quantity_difference, amount_difference = pl.col("expected_micros") - charged, charged - pl.col("billed_micros")
    by_quantity = pl.when(quantity_difference > 0).then(pl.lit("underbilled")).otherwise(pl.lit("overbilled"))
    return (
        pl.when((quantity_difference != 0) & _compare_quantities()).then(by_quantity).otherwise(pl.lit(TOLERATED)),
        pl.when(amount_difference.abs() > pl.col("amount_tolerance_micros"))
        .then(pl.coalesce("verdict", pl.lit("misrated")))
        .otherwise(pl.lit(TOLERATED)),
    )


def classify(pairs: pl.DataFrame) -> pl.DataFrame:
    """Add the kind of pairs (with a `verdict`); a tariff-priced pair that differs in both quantity and amount becomes two rows."""
    flat = pl.col("price_micros").is_not_null()
    # A correcting charge has money and no quantity. So the remaining difference is one of amount, or is within tolerance.
    in_one = pl.col("is_corrected") & pl.col("verdict").is_null()
    remains = (pl.col("expected_micros") - pl.col("billed_micros")).abs() > pl.col("amount_tolerance_micros")
    by_quantity, by_amount = quantity_and_amount_kinds()
    charged = pl.coalesce("charged_micros", "expected_micros")
    differences = {
        "quantity_difference": pl.col("expected_micros") - charged,
        "amount_difference": charged - pl.col("billed_micros"),
    }
    classified = pairs.with_columns(by_quantity=by_quantity, by_amount=by_amount, **differences)
    whole_kind = (
        pl.when("open").then(pl.lit(PENDING)).when("unrated").then(pl.lit(UNRATED))
        .when(in_one & ~remains).then(pl.lit(TOLERATED)).when(flat | in_one).then(classify_flat())
    )  # fmt: skip
    one_part_kind = pl.when(pl.col("amount_difference") == 0).then("by_quantity").otherwise("by_amount")
    two_parts = whole_kind.is_null() & (
        (pl.col("quantity_difference") != 0) & (pl.col("amount_difference") != 0) & (pl.col("by_quantity") != pl.col("by_amount"))
    )
    kind = pl.coalesce(whole_kind, pl.when(two_parts).then("by_amount").otherwise(one_part_kind))
    classified = classified.with_columns(kind=kind, two_part=two_parts)
    if not classified["two_part"].any():
        return classified
    none = pl.lit(0, pl.Int128)
    quantity = classified.filter("two_part").with_columns(
        part=pl.lit(QUANTITY),
        kind="by_quantity",
        expected_micros="quantity_difference",
        billed_micros=none,
        unrated_records=pl.lit(0, pl.UInt32),
    )
    amount = pl.when("two_part").then(charged).otherwise("expected_micros")
    return pl.concat([classified.with_columns(expected_micros=amount), quantity], how="vertical_relaxed")
