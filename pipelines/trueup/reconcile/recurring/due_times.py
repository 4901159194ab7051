"""Due times: the instants at which expected charges are due.

A charge of a recurring item is due where a day begins in the zone of its subscription. That day is the first one of a period, of a
state or of a version of the item. A charge of a one-off item is due at its event, which is the beginning or the end of a state.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from trueup.localtime import DAY_US, utc_us
from trueup.reconcile.recurring.subscription_views import day_number


def due_day() -> pl.Expr:
    """Return the day that begins when each period's charge is due: its first charged day, or in arrears the day after its last."""
    return pl.when("in_advance").then(pl.max_horizontal("begins", "first_day")).otherwise("ends")


def day_begin_us(day: pl.Expr, zone: pl.Expr, zones: Sequence[str]) -> pl.Expr:
    """Return the instant at which each day (a number since 1970) begins in each row's own `zone`."""
    instant = pl.lit(None, pl.Int64)
    for name in zones:
        instant = pl.when(zone == name).then(utc_us(day * DAY_US, name)).otherwise(instant)
    return instant


def last_day_begun(before_us: pl.Expr, zone: str) -> pl.Expr:
    """Return the last day that begins before an instant in `zone`.

    A midnight that occurs twice begins its day at the later time, so an instant between both is on a day that has not begun.
    """
    name = pl.lit(zone)
    day = day_number(before_us - 1, name, [zone])
    return day - (day_begin_us(day, name, [zone]) >= before_us).cast(pl.Int64)
