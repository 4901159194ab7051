"""Lookback: the age up to which records can still change, and the greatest distance of two records that influence each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from trueup.localtime import DAY_US, longest_period_us
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms, shared_terms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
MONTH_US = 32 * DAY_US
"""Longer than any billing period."""


def instant_of(time_us: int) -> datetime:
    """Return a time in µs since 1970 as an instant."""
    return EPOCH + timedelta(microseconds=time_us)


def open_from(frontier: Frontier, terms: Terms, after: int, upto: int) -> datetime:
    """Return the earliest time of a record that can change at positions in (after, upto] without an arrival.

    At `after`, streams had passed all older records by every wait, so these cannot change. Under a new policy every record can
    change.
    """
    starts = frontier.policies.starts
    if after == 0 or ((starts > after) & (starts <= upto)).any():
        return EARLIEST
    number = int(frontier.policies.number_at(np.array([after]))[0])
    rules = frontier.policies.frame.filter(pl.col("policy") == number)
    # A pooled amount is judged together with others at the end of their billing period.
    pooled = 0 if shared_terms(terms).is_empty() else MONTH_US
    period = pl.max_horizontal(
        pl.when("by_aggregate").then(longest_period_us(pl.col("sum_period")) + DAY_US).otherwise(0), pl.lit(pooled, pl.Int64)
    )
    wait = rules.select((pl.col("grace_us") + period).max()).item()
    short = rules.select((pl.col("closed_wait_us") + period).max()).item()
    instant = frontier.passed_until_us(after, number, wait_us=int(wait), closed_wait_us=int(short))
    return EARLIEST if instant is None else instant_of(instant)


def open_from_us(frontier: Frontier, terms: Terms, position: int) -> int:
    """Return the earliest time (µs) of a record that can still change after a position without an arrival."""
    return (open_from(frontier, terms, position, position) - EPOCH) // timedelta(microseconds=1)


def widest_us(frontier: Frontier) -> int:
    """Return the greatest distance in time at which two records without a common key can influence each other."""
    return max(nearest_us(frontier), aggregate_us(frontier))


def nearest_us(frontier: Frontier) -> int:
    """Return the greatest distance in time of two neighbours; 0 where no service is matched by nearest."""
    tolerance_us = frontier.policies.frame.filter("by_nearest")["start_tolerance_us"].max()
    return 0 if tolerance_us is None else int(tolerance_us)  # type: ignore[arg-type]


def aggregate_us(frontier: Frontier) -> int:
    """Return the greatest distance of two records of one period in any time zone; 0 where no service is matched by aggregate."""
    longest = pl.col("sum_period").pipe(longest_period_us).max()
    period_us = frontier.policies.frame.filter("by_aggregate").select(longest).item()
    return 0 if period_us is None else int(period_us) + DAY_US
