"""Matching: find the expectation of each charge of an item, in each view of its subscription.

A charge of a recurring item belongs to the period that contains the noon of its first day, or the middle of a shorter time. A
charge of a one-off item belongs to the last event before the charge or, without one, to the first event after it. Currencies must
be equal. A charge without an expectation, or one that arrived beyond the horizon, is *unexplained*. A charge that corrects another
charge of an item joins that charge's booking.
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
    "is_recurring": pl.Boolean(),  # NULL for an unexplained charge, as the next column
    "period": pl.Int64(),
    "period_from_us": pl.Int64(),
    "line": pl.Int64(),  # for an unexplained charge, the record that owns its booking; NULL for all others
}
_OWNER = ["item", "is_recurring", "period", "period_from_us", "line"]
"""The columns that identify the owner of a booking."""


def with_moments(charges: pl.DataFrame) -> pl.DataFrame:
    """Add `moment_us`, by which a charge is matched (see the description of this module)."""
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
    # Take the last event before the charge or, without one, the first event after it.
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
    own = matched.with_columns(line=pl.when(pl.col("is_recurring").is_null()).then("record_no"))
    return _with_corrections(own).select(pl.col(n).cast(t) for n, t in MATCH.items())


def _with_corrections(matched: pl.DataFrame) -> pl.DataFrame:
    """Give each correcting charge the booking of the charge that it corrects, at the positions at which both count.

    If several charges have the named key, the one with the least record number is meant, as for usage.
    """
    of_charge = pl.col("corrected_key").is_not_null() & pl.col("corrected_charge").fill_null(True)
    correcting = matched.filter(of_charge)
    named = matched.filter(pl.col("corrected_key").is_null()).select(
        "view", "currency", corrected_key="record_key", named_no="record_no", from_="since", to_="until",
        **{f"{n}_named": pl.col(n) for n in _OWNER},
    )  # fmt: skip
    met = correcting.select("pair", "view", "currency", "corrected_key", "since", "until").join(
        named, on=["view", "currency", "corrected_key"]
    ).filter((pl.col("from_") < pl.col("until")) & (pl.col("since") < pl.col("to_")))  # fmt: skip
    if met.is_empty():
        return matched
    edges = pl.concat([
        correcting.select("pair", edge="since"), met.select("pair", edge=pl.max_horizontal("since", "from_")),
        met.filter(pl.col("to_") < pl.col("until")).select("pair", edge="to_"),
    ]).unique().sort("pair", "edge")  # fmt: skip
    cut = edges.join(correcting, on="pair", how="left", maintain_order="left").with_columns(
        since="edge", until=pl.min_horizontal("until", pl.col("edge").shift(-1).over("pair"))
    )  # fmt: skip
    chosen = cut.select("pair", "edge").join(met, on="pair").filter(pl.col("edge").is_between("from_", "to_", closed="left"))
    first = chosen.sort("named_no").unique(["pair", "edge"], keep="first", maintain_order=True)
    joined = cut.join(first.select("pair", "edge", "named_no", *(f"{n}_named" for n in _OWNER)), on=["pair", "edge"], how="left")
    is_named = pl.col("named_no").is_not_null()
    placed = joined.with_columns(pl.when(is_named).then(f"{n}_named").otherwise(n).alias(n) for n in _OWNER)
    return pl.concat([matched.filter(~of_charge), placed.select(matched.columns)])
