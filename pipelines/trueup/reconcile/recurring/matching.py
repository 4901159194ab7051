"""Matching: which expectation each charge of an item belongs to, in each view of its subscription.

A charge of a recurring item belongs to the period that contains the noon of its first day, or the middle of a shorter time. A
charge of a one-off item belongs to the last event before it, else to the first one after it. Currencies must be equal. A charge
without an expectation is *unexplained*; so is one that arrived behind the horizon.
"""

from __future__ import annotations

import polars as pl

HALF_A_DAY_US = 12 * 3_600_000_000
MATCH: dict[str, pl.DataType] = {
    "record_no": pl.Int64(),
    "view": pl.Int64(),
    "since": pl.Int64(),  # the positions [since, until) at which both the view and the content of the charge count
    "until": pl.Int64(),
    "subscriber": pl.String(),
    "item": pl.String(),
    "currency": pl.String(),
    "is_recurring": pl.Boolean(),  # NULL of an unexplained charge, as the next column
    "period": pl.Int64(),
    "period_from_us": pl.Int64(),
}


def with_moments(charges: pl.DataFrame) -> pl.DataFrame:
    """Add `moment_us`, by which a charge is matched: see the description of this module."""
    middle = pl.col("period_from_us") + (pl.col("period_to_us") - pl.col("period_from_us")) // 2
    of_period = pl.min_horizontal(pl.col("period_from_us") + HALF_A_DAY_US, middle)
    moment = pl.when(pl.col("period_to_us").is_not_null()).then(of_period).otherwise(pl.coalesce("period_from_us", "time_us"))
    return charges.with_columns(moment_us=moment)


def match_charges(charges: pl.DataFrame, views: pl.DataFrame, expectations: pl.DataFrame) -> pl.DataFrame:
    """Return a `MATCH` for each version of a charge and view of its subscription that count at one position."""
    seen = charges.rename({"since": "c_since", "until": "c_until"}).join(views, on="subscriber").with_columns(
        since=pl.max_horizontal("since", "c_since"), until=pl.min_horizontal("until", "c_until")
    ).filter(pl.col("since") < pl.col("until")).with_row_index("pair")  # fmt: skip
    key = ["view", "item", "currency"]
    expected = expectations.select(*key, "is_recurring", "period", "period_from_us", "period_to_us")
    reachable = seen.filter(~pl.col("beyond_horizon")).select("pair", *key, "moment_us").join(expected, on=key)
    within = (
        pl.col("is_recurring") & (pl.col("moment_us") >= pl.col("period_from_us")) & (pl.col("moment_us") < pl.col("period_to_us"))
    )
    after_event = pl.col("period_from_us") <= pl.col("moment_us")
    # The last event before the charge, or else the first one after it.
    rank = (
        pl.when(after_event)
        .then(pl.col("moment_us") - pl.col("period_from_us"))
        .otherwise(pl.col("period_from_us") - pl.col("moment_us"))
    )
    chosen = (
        reachable.filter(within | ~pl.col("is_recurring")).with_columns(is_after=~after_event, rank=rank)
        .sort("pair", "is_after", "rank", "period").unique("pair", keep="first", maintain_order=True)
        .select("pair", "is_recurring", "period", "period_from_us")
    )  # fmt: skip
    matched = seen.drop("period_from_us").join(chosen, on="pair", how="left", maintain_order="left")
    return matched.select(pl.col(n).cast(t) for n, t in MATCH.items())
