"""Reconcile the items of one partition: read its inputs from the lake, and return its outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from trueup.errors import LogError
from trueup.log.lake import ALL_DAYS, Days, Lake
from trueup.rating.book import RECURRING
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.log_io.affected import AffectedReader
from trueup.reconcile.log_io.item_charges import (
    first_charge_times,
    has_item_charges,
    item_charge_times,
    item_charges,
    shared_item_records,
)
from trueup.reconcile.recurring.affected_subscriptions import affected_subscriptions
from trueup.reconcile.recurring.matching import with_moments
from trueup.reconcile.recurring.pieces import longest_period_us
from trueup.reconcile.recurring.reconcile_items import ItemInputs, reconcile_items
from trueup.reconcile.recurring.subscription_groups import subscription_groups, with_groups
from trueup.reconcile.results.outcome import Outcome, merge_outcomes
from trueup.reconcile.sessions.admission import RECORD

MOST_SUBSCRIPTIONS = 10_000
"""How many subscriptions, or groups of them that share records, are evaluated at once."""


def with_items(outcome: Outcome, partition: AffectedReader, *, after: int, days: Days = ALL_DAYS) -> Outcome:
    """Return an outcome of usage merged with the outcome of recurring and one-off items of the same buckets and positions.

    Without items in the tariff book and charges of items, the outcome stays unchanged. `days` limit findings to periods that begin
    on them.
    """
    lake, terms, upto = partition.lake, partition.terms, partition.upto
    if terms.items.is_empty() and not has_item_charges(lake, partition.buckets, upto):
        return outcome
    times = item_charge_times(lake, partition.buckets, upto)
    _check_settings(lake, terms)
    timed = with_moments(times.rename({"own_us": "time_us"}))
    reach = first_charge_times(lake, upto)
    subscribers = affected_subscriptions(partition.frontier, terms, timed, reach, after=after, upto=upto)
    if subscribers is not None and subscribers.is_empty():
        return outcome
    groups = subscription_groups(shared_item_records(lake, partition.buckets, upto), RECORD)
    subscribers = None if subscribers is None else with_groups(subscribers, groups)["subscriber"]
    charges = item_charges(lake, partition.buckets, upto, subscribers)
    everyone = pl.concat([terms.states["subscriber"], charges["subscriber"]]) if subscribers is None else subscribers
    found = [
        reconcile_items(ItemInputs(partition.frontier, replace(terms, states=states), some, reach), after=after, upto=upto)
        for states, some in _batch_subscriptions(with_groups(everyone, groups), terms.states, charges)
    ]
    return merge_outcomes([outcome, *(_limit_to_days(one, days) for one in found)])


def _batch_subscriptions(subscribers: pl.DataFrame, *frames: pl.DataFrame) -> Iterator[list[pl.DataFrame]]:
    """Yield the rows of a bounded number of groups (see `with_groups`) at a time, so that memory holds their expectations."""
    ordered = subscribers["group"].unique().sort()
    for begin in range(0, len(ordered), MOST_SUBSCRIPTIONS):
        of_groups = pl.col("group").is_in(ordered.slice(begin, MOST_SUBSCRIPTIONS).implode())
        own = subscribers.filter(of_groups)["subscriber"].implode()
        yield [frame.filter(pl.col("subscriber").is_in(own)) for frame in frames]


def _limit_to_days(outcome: Outcome, days: Days) -> Outcome:
    if days == ALL_DAYS:
        return outcome
    first, last = days
    of_days = pl.lit(True) if first is None else pl.col("day") >= first
    return replace(outcome, history=outcome.history.filter(of_days & (pl.lit(True) if last is None else pl.col("day") <= last)))


def _check_settings(lake: Lake, terms: Terms) -> None:
    """Raise `LogError` where buckets separate subscriptions from their charges, or the horizon is shorter than a period."""
    config, where = lake.project.config, str(lake.project.directory)
    if config.lake.bucket_by == "session_key":
        raise LogError(
            'the tariff book has recurring or one-off items, whose charges bucket_by = "session_key" separates from subscriptions',
            where=where, todo='create a lake with bucket_by = "subscriber" or "account"',
        )  # fmt: skip
    periods = terms.items.filter(pl.col("kind") == RECURRING)["period"].unique().to_list()
    grace_us = max(rules.grace for rules in config.reconcile.values()) if config.reconcile else 0
    longest_us = max((longest_period_us(period) for period in periods), default=0) + grace_us
    if config.project.horizon < longest_us:
        days = -(-longest_us // 86_400_000_000)
        raise LogError(
            "a recurring item's period and the grace of services are longer than `horizon`: its charges would not be matched",
            where=where, todo=f'set [project] horizon to "{days}d" or more',
        )  # fmt: skip
