"""Which records need not be kept: those whose component can change neither by itself nor by anything that comes in time.

Two kinds of component are settled. A *closed* one is a session and its bill of one key, both whole as they came: nothing but a
record of the same key or name can touch it, whenever that comes. A *passed* one is of records that every source had passed
by the longest wait: nothing can touch it but a record of the same key or name, or one that stands near it, hence is late.
Prices, states and policies that change later are looked for in the log, for these as for any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.frames import compact_strings
from trueup.reconcile.blocking.keys import ANY_RULE
from trueup.reconcile.domain.frontier import STREAMS, Frontier
from trueup.reconcile.domain.policies import NEVER_POSITION, UNKNOWN_TIME_US
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.incremental.pending_records import PassedInterval
from trueup.reconcile.kernel.evaluate import Evaluated
from trueup.reconcile.log_io.affected import open_from_us
from trueup.reconcile.sessions.admission import EVENTS, RECORD

NO_TIME_US = -(2**62)
"""When what tells no time stands, where the latest is looked for."""
NUMBER = "number"
"""A column of the events evaluated: which row of the frame each is."""


@dataclass(frozen=True)
class Retention:
    """What is kept of some records, rows of `EVENTS` with their `component`; which of them are not since they are `closed` as
    above, and which `passed`; and when each stands, `stand_us`."""

    rows: pl.DataFrame
    closed: NDArray[np.bool_]
    passed: NDArray[np.bool_]
    stand_us: NDArray[np.int64]


def with_row_number(events: pl.DataFrame) -> pl.DataFrame:
    """Events with the number of their row, to be recognised after an evaluation."""
    return events.with_row_index(NUMBER)


def split_retained(events: pl.DataFrame, evaluated: Evaluated, frontier: Frontier, *, upto: int, open_from_us: int) -> Retention:
    """Divides events (`numbered`), as evaluated up to a position; `open_from_us` is the first instant still open then."""
    versions = evaluated.versions
    stand = pl.when(pl.col("time_us").is_not_null()).then("time_us").when(pl.col("assigned_at") <= upto).then("assigned_time_us")
    placed = versions.select(
        NUMBER, "component", *RECORD, "group_no", stand_us=stand.otherwise(UNKNOWN_TIME_US),
        simple=pl.col("grouped_by_key") & pl.col("partial_no").is_null() & pl.col("time_us").is_not_null(),
        counts=pl.col("until") == NEVER_POSITION, rule="rule",
    )  # fmt: skip
    number = int(frontier.policies.number_at(np.array([upto]))[0])
    rules = frontier.policies.frame.filter(pl.col("policy") == number).select("rule", "by_key", "by_aggregate")
    placed = placed.join(rules, on="rule", how="left", maintain_order="left")
    usage, charge = ~pl.col("charge") & pl.col("counts"), pl.col("charge") & pl.col("counts")
    one_pair = (pl.col("group_no").n_unique() == 1) & usage.any() & charge.any()
    fits = pl.col("simple") & (pl.col("charge") | pl.col("by_key")) & ~pl.col("by_aggregate")
    of_outdone = evaluated.resolved.superseded.select(
        NUMBER, *RECORD, late_us=pl.col("time_us").fill_null(UNKNOWN_TIME_US)
    ).join(placed.select(*RECORD, "component").unique(), on=RECORD, how="left", nulls_equal=True)  # fmt: skip
    last = of_outdone.group_by("component").agg(pl.col("late_us").max())
    components = (
        placed.group_by("component").agg(closed=one_pair & fits.all(), stand_us=pl.col("stand_us").max())
        .join(last, on="component", how="left")
        .with_columns(passed=pl.max_horizontal("stand_us", "late_us") < open_from_us)
    )  # fmt: skip
    where = pl.concat([placed.select(NUMBER, "component"), of_outdone.select(NUMBER, "component")]).unique(NUMBER)
    told = where.join(components.select("component", "closed", "passed"), on="component")
    decided, waiting = told[NUMBER].to_numpy(), evaluated.unmatched.to_numpy()
    # What is told apart before the rounds is in no component: pairs are closed, what waits alone is one by itself.
    closed, passed = np.ones(events.height, dtype=np.bool_), np.zeros(events.height, dtype=np.bool_)
    closed[decided], passed[decided], closed[waiting] = told["closed"].to_numpy(), told["passed"].to_numpy(), False
    component = np.zeros(events.height, dtype=np.int64)
    component[decided], component[waiting] = told["component"].to_numpy(), -1 - waiting.astype(np.int64)
    stood = placed.unique(NUMBER)
    stand_us = events["time_us"].fill_null(NO_TIME_US).to_numpy().copy()
    stand_us[stood[NUMBER].to_numpy()] = stood["stand_us"].to_numpy()
    left = ~closed & ~passed
    rows = events.select(*EVENTS).filter(pl.Series(left)).with_columns(component=pl.Series(component[left]))
    # Where most of what came is kept the text of the rest may stay with it: that is at most as much again.
    rows = compact_strings(rows) if 2 * rows.height < events.height else rows
    return Retention(rows, closed, passed & ~closed, stand_us)


def newly_passed_intervals(frontier: Frontier, terms: Terms, after: int, upto: int) -> list[PassedInterval]:
    """The instants that streams passed in (after, upto], by each wait there is; what stands there may change by itself.

    Both positions are under one policy.
    """
    number = int(frontier.policies.number_at(np.array([upto]))[0])
    rules = frontier.policies.frame.filter(pl.col("policy") == number)
    grace = rules.select("rule", wait="grace_us", closed="closed_wait_us", unkeyed=pl.lit(False))
    # Only what has no session key is ripe before its grace is over, and only where the nearest are matched.
    tolerance = pl.col("start_tolerance_us")
    closed = pl.min_horizontal(tolerance, "closed_wait_us")
    short = rules.filter("by_nearest").select("rule", wait=tolerance, closed=closed, unkeyed=pl.lit(True))
    told: list[tuple[int | None, int | None, int, bool]] = [
        (open_from_us(frontier, terms, after), open_from_us(frontier, terms, upto), ANY_RULE, False)
    ]
    for rule, wait, closed_wait, loose in pl.concat([grace, short]).iter_rows():
        for stream in STREAMS:
            low, high = (
                frontier.passed_until_us(p, number, wait_us=wait, closed_wait_us=closed_wait, stream=stream) for p in (after, upto)
            )
            told.append((low, high, rule, loose))
    ranges = [(-NEVER_POSITION if low is None else low, high, rule, loose) for low, high, rule, loose in told if high is not None]
    return [passing for passing in ranges if passing[0] < passing[1]]
