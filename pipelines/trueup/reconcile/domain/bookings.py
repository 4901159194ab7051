"""Bookings: the entry of each record in the conservation sums.

The owner of a booking is a session, a charge group without usage, or a period of an aggregate match. An owner has up to three
booking parts. `MAIN` holds its records. `SURPLUS` holds excess charges. `QUANTITY` holds the difference by quantity alone, where
the amount is wrong as well. The kind of a booking is `pending`, `tolerated` or the kind of a finding.

Σ expected − Σ billed over all bookings of a (service, day, currency) is one side of the conservation sum. Σ impact + Σ tolerated
+ Σ pending over the same bookings is the other.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from trueup.localtime import DAY_US, local_day
from trueup.reconcile.domain.frontier import Frontier

PENDING, TOLERATED, UNRATED = "pending", "tolerated", "unrated"
MAIN, SURPLUS, QUANTITY = 0, 1, 2
"""Parts of an owner's booking. `QUANTITY` has no members of its own: its records are members of `MAIN`."""
SESSION, CHARGE_GROUP, PERIOD = 0, 1, 2
"""The owner number modulo 3 is the owner's kind; divided by 3, it is the number of the owner's group or period."""

BOOKING: dict[str, pl.DataType] = {
    "component": pl.Int64(),
    "at": pl.Int64(),
    "owner_no": pl.Int64(),
    "part": pl.Int8(),
    "kind": pl.String(),
    "reason": pl.String(),  # why there is no price, or the mistake that explains the billed amount
    "service": pl.String(),
    "day": pl.Date(),
    "currency": pl.String(),
    "expected_micros": pl.Int128(),
    "billed_micros": pl.Int128(),
    "unrated_records": pl.Int64(),
    "bucket": pl.Int16(),
    "subscriber": pl.String(),
    "peer": pl.String(),
    "node": pl.String(),
    "started_us": pl.Int64(),
}
MEMBER: dict[str, pl.DataType] = {
    "component": pl.Int64(),
    "at": pl.Int64(),
    "record_no": pl.Int64(),
    "charge": pl.Boolean(),
    "owner_no": pl.Int64(),
    "part": pl.Int8(),
}
NETTING_GROUP: dict[str, pl.DataType] = {
    "component": pl.Int64(),
    "at": pl.Int64(),
    "owner_no": pl.Int64(),
    "netting_group": pl.UInt32(),
}
"""Owners whose amounts are judged together share a `netting_group`."""


def by_period(rows: pl.DataFrame, of: Callable[[int, str], pl.Expr]) -> pl.Expr:
    """Return the expression that `of` builds for each row's `sum_period` and `timezone`, with one branch per pair in `rows`."""
    pairs = rows.select("sum_period", "timezone").drop_nulls().unique().sort("sum_period", "timezone").rows()
    # Without rows, one branch gives the expression its type.
    first, *others = pairs or [(DAY_US, "UTC")]
    expression = of(*first)
    for period, zone in others:
        is_own = (pl.col("sum_period") == period) & (pl.col("timezone") == zone)
        expression = pl.when(is_own).then(of(period, zone)).otherwise(expression)
    return expression


def by_zone(frontier: Frontier, of: Callable[[str], pl.Expr]) -> pl.Expr:
    """Return the expression that `of` builds for each row's own time zone, with one branch per zone ever in force."""
    first, *others = sorted({p.timezone for p in frontier.policies.all})
    expression = of(first)
    for zone in others:
        expression = pl.when(pl.col("timezone") == zone).then(of(zone)).otherwise(expression)
    return expression


ZONED = BOOKING | {"timezone": pl.String()}


def as_bookings(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of bookings with their time zone; `day` stays NULL where it is derived from the start."""
    dayed = frame if "day" in frame.columns else frame.with_columns(day=pl.lit(None, pl.Date))
    return dayed.select(pl.col(n).cast(t) for n, t in ZONED.items())


def with_days(bookings: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add the day of bookings that are not periods: the day of their start in the time zone of their policy."""
    start_day = by_zone(frontier, lambda zone: local_day(pl.col("started_us"), zone))
    return bookings.with_columns(day=pl.coalesce("day", start_day), service=pl.col("service").fill_null("")).select(*BOOKING)


def drop_zero_impact() -> pl.Expr:
    """Return the kind, or `tolerated` where the impact is zero; unrated usage stays a finding even then."""
    no_impact = (pl.col("expected_micros") == pl.col("billed_micros")) & ~pl.col("kind").is_in([PENDING, UNRATED])
    return pl.when(no_impact).then(pl.lit(TOLERATED)).otherwise("kind")
