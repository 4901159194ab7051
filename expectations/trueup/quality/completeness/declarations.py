"""Compare what units declare with what they hold: their number of records, and the sums of their columns."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from trueup.events.declared_sums import DeclaredSum, read_sums
from trueup.quality.completeness.inputs import CompletenessInputs, as_findings
from trueup.units import MICROS

_GREATEST = 2**63 - 1


def declared(inputs: CompletenessInputs) -> pl.DataFrame:
    """Return rows of `FOUND` for units whose number of records or sums differ from what they declare.

    A unit gives one row, even if several of its numbers differ. Where it declares a sum of amounts in one currency, the difference
    is its exact money.
    """
    whole = inputs.units.group_by("stream", "source", "unit").agg(
        pl.col("node").first().fill_null(""), pl.col("path").first(), pl.col("records").sum(), pl.col("declared").max(),
        pl.col("first_us").min(), pl.col("last_us").max(), pl.col("sums").drop_nulls(),
    )  # fmt: skip
    sums = pl.Series("sums", [_find_differing_sums(texts) for texts in whole["sums"]], dtype=pl.Object)
    money = [_find_missing_amount(one) for one in sums]
    has_count = (pl.col("declared") != pl.col("records")).fill_null(False)
    whole = whole.with_columns(
        has_count=has_count, exact_money=pl.Series([amount for amount, _ in money], dtype=pl.Int64),
        exact_currency=pl.Series([currency for _, currency in money], dtype=pl.String),
        differences=pl.Series(
            ["; ".join(_describe_difference(name, one) for name, one in each.items()) for each in sums], dtype=pl.String
        ),
    )  # fmt: skip
    differs = whole.filter(pl.col("has_count") | (pl.col("differences") != ""))
    fewer = (pl.col("declared") - pl.col("records")).clip(lower_bound=0).cast(pl.Float64)
    counts = pl.when(pl.col("has_count")).then(pl.format("{} records and holds {}", "declared", "records"))
    parts = pl.concat_list(counts, pl.when(pl.col("differences") != "").then(pl.col("differences"))).list.drop_nulls()
    return as_findings(
        differs.with_columns(
            kind=pl.lit("total_mismatch"), control=pl.lit("declared"), service=pl.lit(""), subject=pl.col("unit"),
            from_us=pl.col("first_us"), to_us=pl.col("last_us"), records=pl.when(pl.col("has_count")).then(fewer),
            records_variance=pl.lit(0.0), reason=pl.format("{} declares {}", "path", parts.list.join("; ")),
        )
    )  # fmt: skip


def _find_differing_sums(texts: pl.Series) -> dict[str, DeclaredSum]:
    """Return the sums of a unit that differ from its declared sums, by column."""
    return {name: one for name, one in read_sums(texts.to_list()).items() if one.missing_micros}


def _find_missing_amount(sums: Mapping[str, DeclaredSum]) -> tuple[int | None, str | None]:
    """Return the declared amount that is missing in a unit, and its currency; None where that is not one sum in one currency.

    An amount above the declared one is not missing money.
    """
    amount = sums.get("amount")
    if amount is None or len(amount.read.currencies) > 1:
        return None, None
    return min(max(amount.missing_micros, 0), _GREATEST), next(iter(amount.read.currencies), None)


def _describe_difference(name: str, one: DeclaredSum) -> str:
    """Return a difference in words: `amount 30 and holds 20`."""
    return f"{name} {_format_decimal(max(one.declared))} and holds {_format_decimal(one.read.micros)}"


def _format_decimal(micros: int) -> str:
    sign, (whole, rest) = "-" * (micros < 0), divmod(abs(micros), MICROS)
    return f"{sign}{whole}" + (f".{rest:06}".rstrip("0") if rest else "")
