"""Affected subscriptions: find all, and perhaps more, whose item bookings can change at positions in (after, upto]."""

from __future__ import annotations

import polars as pl

from trueup.rating.book import RECURRING
from trueup.reconcile.domain.frontier import Frontier, RunningMax
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.recurring.due_times import last_day_begun
from trueup.reconcile.recurring.pieces import period_begin_day, period_of_day
from trueup.reconcile.recurring.subscription_views import with_days

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
        [of_charges, of_states["subscriber"], _find_subscribers_at_due_days(known, frontier, terms, windows, upto)]
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


def _find_subscribers_at_due_days(known: pl.DataFrame, frontier: Frontier, terms: Terms, windows: Windows, upto: int) -> pl.Series:
    """Return the subscribers of whom a day begins in a window on which a charge of a recurring item can be due."""
    recurring = terms.items.filter((pl.col("kind") == RECURRING) & (pl.col("since") <= upto))
    found = [known["subscriber"].clear()]
    if recurring.is_empty() or not windows:
        return found[0]
    for (zone,), of_zone in _with_zones(known, frontier.policies.all[-1].timezone).group_by("zone"):
        days = pl.DataFrame(windows, schema=["low", "high"], orient="row").select(
            last_day_begun(pl.col(n), str(zone)) for n in ("low", "high")
        ).filter(pl.col("low") < pl.col("high"))  # fmt: skip
        versions = with_days(recurring.with_columns(zone=pl.lit(zone)))
        states = with_days(of_zone)
        for low, high in days.rows():
            of_versions = (pl.col("first_day").is_between(low + 1, high) | pl.col("last_day").is_between(low, high - 1)).any()
            if versions.select(of_versions).item():
                found.append(of_zone["subscriber"])
                continue
            found.append(states.filter(pl.col("first_day").is_between(low + 1, high))["subscriber"])
            found.append(_find_subscribers_with_period(of_zone, recurring["period"].unique(), low, high))
    return pl.concat(found)


def _with_zones(known: pl.DataFrame, of_project: str) -> pl.DataFrame:
    """Add `zone`: each state once for each zone that any state of its subscriber has, as one of them applies to all."""
    zoned = known.with_columns(zone=pl.col("timezone").fill_null(of_project))
    if zoned["zone"].n_unique() < 2:
        return zoned
    return zoned.drop("zone").join(zoned.select("subscriber", "zone").unique(), on="subscriber")


def _find_subscribers_with_period(states: pl.DataFrame, periods: pl.Series, low: int, high: int) -> pl.Series:
    """Return the subscribers with a period that begins after the day `low` and not after `high`."""
    cycles = states.select("subscriber", cycle_day=pl.col("cycle_day").fill_null(1)).unique()
    each = cycles.join(periods.alias("period").to_frame(), how="cross")
    number = period_of_day(pl.lit(high, pl.Int64))
    begins = each.with_columns(number=number).with_columns(begins=period_begin_day(pl.col("number")))
    return begins.filter(pl.col("begins") > low)["subscriber"]
