"""Retention: find the records that the state need not hold, because neither time nor an arrival in time can change their component.

Records of a period that can be folded are not retained: see `trueup.reconcile.incremental.folded_sums`. Of the others, two kinds of
component are settled. A *closed* one is a session and its charge group of one key, both complete. Only a record of the same key or
name can affect it, whenever it arrives. A *passed* one has only records that every source has passed by the longest wait. Only a
record of the same key or name can affect it, or a late neighbour. Prices, states and policies that change later are read from the
log, for settled records as for any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.frames import compact_strings
from trueup.policies.policy import NEVER_POSITION, UNKNOWN_TIME_US
from trueup.reconcile.blocking.keys import ANY_RULE
from trueup.reconcile.blocking.lookback import open_from_us
from trueup.reconcile.domain.frontier import STREAMS, Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.incremental.folded_sums import fold_periods, periods_of
from trueup.reconcile.incremental.segments import PassedInterval
from trueup.reconcile.kernel.evaluate import Evaluated
from trueup.reconcile.sessions.admission import EVENTS, RECORD

NO_TIME_US = -(2**62)
"""The time used for records without one when the latest time is computed."""
NUMBER = "number"
"""The column of evaluated events with their row number."""


@dataclass(frozen=True)
class Retention:
    """The retained rows of `EVENTS` with their `component`, and masks of the rows that are not retained.

    The latter are `closed` or `passed` (see the module), or `folded`. `time_us` is the time of each row, its own or assigned.
    `periods` are the folded periods (`PERIOD`), and whether each is `judged`.
    """

    rows: pl.DataFrame
    closed: NDArray[np.bool_]
    passed: NDArray[np.bool_]
    folded: NDArray[np.bool_]
    periods: pl.DataFrame
    time_us: NDArray[np.int64]


def with_row_number(events: pl.DataFrame) -> pl.DataFrame:
    """Add the row number, by which events are recognised after an evaluation."""
    return events.with_row_index(NUMBER)


def split_retained(events: pl.DataFrame, evaluated: Evaluated, frontier: Frontier, *, upto: int, open_from_us: int) -> Retention:
    """Split events (`with_row_number`), as evaluated up to a position, into retained and settled ones.

    `open_from_us` is the first instant that is still open at that position.
    """
    versions = evaluated.versions
    policy = int(frontier.policies.number_at(np.array([upto]))[0])
    is_line = pl.col("charge") & frontier.policies.in_bill_lines(pl.lit(policy))
    time = pl.when(pl.col("time_us").is_not_null()).then("time_us").when(pl.col("assigned_at") <= upto).then("assigned_time_us")
    records = versions.select(
        NUMBER, "component", *RECORD, "group_no", record_time_us=time.otherwise(UNKNOWN_TIME_US),
        simple=pl.col("grouped_by_key") & pl.col("partial_no").is_null() & ~is_line & pl.col("time_us").is_not_null(),
        counts=pl.col("until") == NEVER_POSITION, rule="rule",
    )  # fmt: skip
    rules = frontier.policies.frame.filter(pl.col("policy") == policy)
    rules = rules.select("rule", "by_key", "by_nearest", "by_aggregate", "parts")
    records = records.join(rules, on="rule", how="left", maintain_order="left")
    usage, charge = ~pl.col("charge") & pl.col("counts"), pl.col("charge") & pl.col("counts")
    single_pair = (pl.col("group_no").n_unique() == 1) & usage.any() & charge.any()
    is_counter = ~pl.col("charge") & (pl.col("parts") != "sum")
    fits = pl.col("simple") & ~is_counter & (pl.col("charge") | pl.col("by_key")) & ~pl.col("by_aggregate")
    of_superseded = evaluated.resolved.superseded.select(
        NUMBER, *RECORD, superseded_us=pl.col("time_us").fill_null(UNKNOWN_TIME_US)
    ).join(records.select(*RECORD, "component").unique(), on=RECORD, how="left", nulls_equal=True)  # fmt: skip
    latest = of_superseded.group_by("component").agg(pl.col("superseded_us").max())
    components = (
        records.group_by("component").agg(closed=single_pair & fits.all(), latest_us=pl.col("record_time_us").max())
        .join(latest, on="component", how="left")
        .with_columns(passed=pl.max_horizontal("latest_us", "superseded_us") < open_from_us)
    )  # fmt: skip
    folds = fold_periods(versions.join(rules, on="rule", how="left"), of_superseded.select("component"), evaluated.totals, upto)
    rows_by_component = pl.concat([records.select(NUMBER, "component"), of_superseded.select(NUMBER, "component")]).unique(NUMBER)
    settled = rows_by_component.join(components.select("component", "closed", "passed"), on="component")
    evaluated_rows, unmatched_rows = settled[NUMBER].to_numpy(), evaluated.unmatched.to_numpy()
    # Records of the fast path have no component: pairs are closed, an unmatched record is a component of its own.
    closed, passed = np.ones(events.height, dtype=np.bool_), np.zeros(events.height, dtype=np.bool_)
    closed[evaluated_rows], closed[unmatched_rows] = settled["closed"].to_numpy(), False
    passed[evaluated_rows] = settled["passed"].to_numpy()
    component = np.zeros(events.height, dtype=np.int64)
    component[evaluated_rows], component[unmatched_rows] = settled["component"].to_numpy(), -1 - unmatched_rows.astype(np.int64)
    folded = np.zeros(events.height, dtype=np.bool_)
    folded[versions.join(folds, on="component", how="semi")[NUMBER].to_numpy()] = True
    passed &= ~folded
    timed = records.unique(NUMBER)
    times_us = events["time_us"].fill_null(NO_TIME_US).to_numpy().copy()
    times_us[timed[NUMBER].to_numpy()] = timed["record_time_us"].to_numpy()
    passed[unmatched_rows] = times_us[unmatched_rows] < open_from_us
    retained = ~closed & ~passed & ~folded
    rows = events.select(*EVENTS).filter(pl.Series(retained)).with_columns(component=pl.Series(component[retained]))
    # If most rows are retained, the text of the others may stay in memory, because it is no larger.
    rows = compact_strings(rows) if 2 * rows.height < events.height else rows
    first = versions.join(folds, on="component").sort(NUMBER).unique("component", keep="first", maintain_order=True)
    representatives = events.select(*EVENTS)[first[NUMBER]].hstack(first.select("component", "records", "judged"))
    periods = periods_of(representatives, evaluated.totals)
    return Retention(rows, closed, passed & ~closed, folded, periods, times_us)


def newly_passed_intervals(frontier: Frontier, terms: Terms, after: int, upto: int) -> list[PassedInterval]:
    """Return, for each wait, the instants that streams passed in (after, upto]; records at them may change without an arrival.

    Both positions are under one policy.
    """
    policy = int(frontier.policies.number_at(np.array([upto]))[0])
    rules = frontier.policies.frame.filter(pl.col("policy") == policy)
    grace = rules.select("rule", wait="grace_us", closed="closed_wait_us", unkeyed=pl.lit(False))
    # Only records without a session key are match-ready before grace is over, and only where nearest matches are made.
    tolerance = pl.col("start_tolerance_us")
    closed = pl.min_horizontal(tolerance, "closed_wait_us")
    match_waits = rules.filter("by_nearest").select("rule", wait=tolerance, closed=closed, unkeyed=pl.lit(True))
    limits: list[tuple[int | None, int | None, int, bool]] = [
        (open_from_us(frontier, terms, after), open_from_us(frontier, terms, upto), ANY_RULE, False)
    ]
    for rule, wait, closed_wait, unkeyed in pl.concat([grace, match_waits]).iter_rows():
        for stream in STREAMS:
            low, high = (
                frontier.passed_until_us(p, policy, wait_us=wait, closed_wait_us=closed_wait, stream=stream) for p in (after, upto)
            )
            limits.append((low, high, rule, unkeyed))
    ranges = [
        (-NEVER_POSITION if low is None else low, high, rule, unkeyed) for low, high, rule, unkeyed in limits if high is not None
    ]
    return [passing for passing in ranges if passing[0] < passing[1]]
