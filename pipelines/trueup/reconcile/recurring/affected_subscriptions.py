"""Affected subscriptions: find all, and perhaps more, whose item bookings can change at positions in (after, upto]."""

from __future__ import annotations

import polars as pl

from trueup.localtime import local_day
from trueup.rating.book import RECURRING
from trueup.reconcile.domain.frontier import Frontier, RunningMax
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.recurring.pieces import period_begin_day, period_of_day

Windows = list[tuple[int, int]]
"""Ranges of instants (µs) that the charge stream passed, less the wait of each."""


def affected_subscriptions(
    frontier: Frontier, terms: Terms, charges: pl.DataFrame, reach: RunningMax, *, after: int, upto: int
) -> pl.Series | None:
    """Return the subscribers that positions in (after, upto] can affect; None: all subscribers.

    `charges` are all charges of items (`subscriber`, `position`, `moment_us`). Other items, another policy or an earlier
    beginning of the charge stream affect all.
    """
    if after == 0 or _has_change_for_all(frontier, terms, reach, after, upto):
        return None
    windows = _find_passed_windows(frontier, after, upto)
    if windows is None:
        return None
    is_new, moment = pl.col("position") > after, pl.col("moment_us")
    of_charges = charges.filter(is_new | _is_within(moment, windows))["subscriber"]
    known = terms.states.filter(pl.col("since") <= upto)
    changed = pl.any_horizontal(pl.col(n).is_between(after + 1, upto) for n in ("since", "until"))
    of_states = known.filter(
        changed | _is_within(pl.col("from_us"), windows) | _is_within(pl.col("to_us"), windows).fill_null(False)
    )
    return pl.concat(
        [of_charges, of_states["subscriber"], _find_subscribers_at_edges(known, frontier, terms, windows, upto)]
    ).unique()


def _has_change_for_all(frontier: Frontier, terms: Terms, reach: RunningMax, after: int, upto: int) -> bool:
    items = terms.items
    positions = [items["since"].to_numpy(), items["until"].to_numpy(), frontier.policies.starts, reach.positions]
    return any(bool(((known > after) & (known <= upto)).any()) for known in positions)


def _find_passed_windows(frontier: Frontier, after: int, upto: int) -> Windows | None:
    """Return the instants that the charge stream passed for each wait; None if it had passed none before."""
    policy = int(frontier.policies.number_at(frontier.policies.starts[:1] * 0 + upto)[0])
    rules = frontier.policies.frame.filter(pl.col("policy") == policy)
    waits = {(0, 0), *rules.select("grace_us", "closed_wait_us").rows()}
    windows: Windows = []
    for wait_us, closed_us in sorted(waits):
        low, high = (
            frontier.passed_until_us(at, policy, wait_us=wait_us, closed_wait_us=closed_us, stream="charge") for at in (after, upto)
        )
        if high is None or low == high:
            continue
        if low is None:
            return None
        windows.append((low, high))
    return windows


def _is_within(instant: pl.Expr, windows: Windows) -> pl.Expr:
    return pl.any_horizontal(pl.lit(False), *(instant.is_between(low, high) for low, high in windows))


def _find_subscribers_at_edges(known: pl.DataFrame, frontier: Frontier, terms: Terms, windows: Windows, upto: int) -> pl.Series:
    """Return the subscribers with a recurring item of which a period or version begins in a window."""
    recurring = terms.items.filter((pl.col("kind") == RECURRING) & (pl.col("since") <= upto))
    periods = recurring["period"].unique()
    if periods.is_empty() or not windows:
        return known["subscriber"].clear()
    project = frontier.policies.all[-1].timezone
    found = []
    for (zone,), of_zone in known.with_columns(zone=pl.col("timezone").fill_null(project)).group_by("zone"):
        days = pl.DataFrame(windows, schema=["low", "high"], orient="row").select(
            low_day=local_day(pl.col("low") - 1, str(zone)), high_day=local_day(pl.col("high"), str(zone))
        ).filter(pl.col("low_day") < pl.col("high_day"))  # fmt: skip
        edges = pl.concat([terms.items["from_us"], terms.items["to_us"]]).drop_nulls().alias("edge").to_frame()
        edge_days = edges.select(local_day(pl.col("edge"), str(zone))).to_series()
        for low, high in days.rows():
            if edge_days.is_between(low, high).any():
                found.append(of_zone["subscriber"])
                continue
            found.append(_with_edge(of_zone, periods, low, high))
    return pl.concat([known["subscriber"].clear(), *found])


def _with_edge(states: pl.DataFrame, periods: pl.Series, low: object, high: object) -> pl.Series:
    """Return the subscribers with a period that begins after the day `low` and not after `high`."""
    cycles = states.select("subscriber", cycle_day=pl.col("cycle_day").fill_null(1)).unique()
    each = cycles.join(periods.alias("period").to_frame(), how="cross").with_columns(
        pl.lit(day).cast(pl.Date).cast(pl.Int32).cast(pl.Int64).alias(name) for name, day in (("low", low), ("high", high))
    )  # fmt: skip
    begins = each.with_columns(number=period_of_day(pl.col("high"))).with_columns(begins=period_begin_day(pl.col("number")))
    return begins.filter(pl.col("begins") > pl.col("low"))["subscriber"]
