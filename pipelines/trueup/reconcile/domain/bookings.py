"""Places: where the money of each record is booked.

A *place* is booked under a subject (a session, a bill without usage, or a period of sums) and a part of it: all of it; the
charges beyond those a session needed; or what it lost by its quantity alone, where its amount is wrong as well. Its kind is
`pending`, `tolerated` or the kind of a finding. expected − billed of all places of a (service, day, currency) is the
conservation sum's left side.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from trueup.localtime import local_day
from trueup.reconcile.domain.frontier import Frontier

PENDING, TOLERATED, UNRATED = "pending", "tolerated", "unrated"
MAIN, SURPLUS, QUANTITY = 0, 1, 2
"""Parts of a subject. The records of `QUANTITY` are those of `MAIN`, where they have their seat."""
SESSION, CHARGE_GROUP, PERIOD = 0, 1, 2
"""What a subject number modulo 3 says it is; the rest is the number of its group or period."""

BOOKING: dict[str, pl.DataType] = {
    "component": pl.Int64(),
    "at": pl.Int64(),
    "owner_no": pl.Int64(),
    "part": pl.Int8(),
    "kind": pl.String(),
    "reason": pl.String(),  # what the rater knows of it
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
    "next_check_position": pl.Int64(),  # the next position at which it could change by itself
}
MEMBER: dict[str, pl.DataType] = {
    "component": pl.Int64(),
    "record_no": pl.Int64(),
    "charge": pl.Boolean(),
    "owner_no": pl.Int64(),
    "part": pl.Int8(),
}
NETTING_GROUP: dict[str, pl.DataType] = {"component": pl.Int64(), "owner_no": pl.Int64(), "netting_group": pl.UInt32()}
"""Subjects whose amounts are judged together have one `tie`."""


def by_zone(frontier: Frontier, of: Callable[[str], pl.Expr]) -> pl.Expr:
    """What `of` makes of each row's own time zone; one branch for each zone ever in force."""
    first, *others = sorted({p.timezone for p in frontier.policies.all})
    chosen = of(first)
    for zone in others:
        chosen = pl.when(pl.col("timezone") == zone).then(of(zone)).otherwise(chosen)
    return chosen


ZONED = BOOKING | {"timezone": pl.String()}


def as_bookings(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of a place, with its time zone; `day` is still missing where it follows from the start."""
    dayed = frame if "day" in frame.columns else frame.with_columns(day=pl.lit(None, pl.Date))
    return dayed.select(pl.col(n).cast(t) for n, t in ZONED.items())


def with_days(places: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """The day of a place that is no period: that of its start, in the time zone of its policy."""
    start_day = by_zone(frontier, lambda zone: local_day(pl.col("started_us"), zone))
    return places.with_columns(day=pl.coalesce("day", start_day), service=pl.col("service").fill_null("")).select(*BOOKING)
