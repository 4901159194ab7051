"""What two records share that may be of one component, as hashes: who has none in common with another cannot touch it.

Records of one name, of one session, of one party at nearly one time, or of one period share a *tie*. It is coarser than what
the kernel decides: two that share one need not touch, but two that could touch share one, or have one each with a third. A
collision of hashes ties what is apart, which costs time and nothing else.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.localtime import period_index, period_last_us
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.policies import NEVER_POSITION
from trueup.reconcile.incremental.hash_runs import Hashes
from trueup.reconcile.incremental.settled_keys import NAMES, is_duplicated, record_hashes, session_hashes
from trueup.reconcile.sessions.admission import with_due_date

_PARTY = ["scope", "service", "subscriber", "peer"]
_OWNER = ["scope", "service", "subscriber"]
_CANDIDATE_KEY = list(dict.fromkeys((*_PARTY, *NAMES, "source", "position", "time_us")))
COMPONENT_KEY = "component_key"
"""Whose a tie or an instant is: a number that whoever asks gives each row."""
ANY_RULE = -2
"""Whatever rule it is: that of records which others of their component have not."""
_BLOCKING_KEY = {COMPONENT_KEY: pl.UInt64(), "blocking_key": pl.UInt64()}


def session_hashes_or_record(rows: pl.DataFrame) -> Hashes:
    """A hash for each row of `EVENTS`, the same for those of one session: of its session key, else of its record."""
    keyed = rows["session_key"].is_not_null().to_numpy()
    return np.where(keyed, session_hashes(rows), record_hashes(rows))


def identity_keys(rows: pl.DataFrame) -> Hashes:
    """The ties of records and sessions that rows with the columns `NAMES` have by them."""
    keyed = rows["session_key"].is_not_null().to_numpy()
    return np.concatenate([session_hashes(rows)[keyed], record_hashes(rows)])


def candidate_keys(rows: pl.DataFrame, labels: Hashes, frontier: Frontier) -> pl.DataFrame:
    """Where the sessions and bills of rows of `EVENTS` could stand, as known along a frontier.

    Rows (`label`, `party`, `owner`, `near`, `summed`, `time_us`, `aggregation_time_us`): a unit takes its party from one of its
    records and its time from another, hence stands with each party of its records at each of their times.
    """
    policies = frontier.policies
    rules = policies.frame.group_by("rule").agg(pl.col("by_nearest", "by_aggregate").any()).sort("rule")
    place = policies.rule_index(0, rows.select(policies.rule_of(pl.col("service"))).to_series().to_numpy())
    near, summed = (rules[n].to_numpy()[place] for n in ("by_nearest", "by_aggregate"))
    wanted = near | summed
    timed = with_due_date(rows.select(_CANDIDATE_KEY).filter(pl.Series(wanted)), frontier)
    due = pl.when(pl.col("assigned_at") != NEVER_POSITION).then("assigned_time_us")
    groups = session_hashes_or_record(timed)
    side = np.where(timed["charge"].to_numpy(), ~groups, groups)
    stood = timed.select(
        "time_us", component_key=pl.Series(labels[wanted], dtype=pl.UInt64), side=pl.Series(side), party=_hash(_PARTY, 41),
        aggregation_key=_hash(_OWNER, 61) if summed.any() else pl.lit(0, pl.UInt64), by_nearest=pl.Series(near[wanted]),
        by_aggregate=pl.Series(summed[wanted]), aggregation_time_us=pl.coalesce("time_us", due),
    )  # fmt: skip
    several = stood.filter(pl.Series(is_duplicated(side)))
    sides = several.group_by("side").agg(first=pl.col("party").min(), last=pl.col("party").max())
    mixed = several.join(sides.filter(pl.col("first") != pl.col("last")).select("side"), on="side", how="semi")
    if not mixed.is_empty():
        crossed = (
            mixed.drop("time_us", "aggregation_time_us")
            .unique()
            .join(mixed.select("side", "time_us", "aggregation_time_us").unique(), on="side")
        )
        stood = pl.concat([stood, crossed.select(stood.columns)])
    return stood.drop("side")


def blocking_keys(stood: pl.DataFrame, frontier: Frontier, *, around: bool) -> pl.DataFrame:
    """The ties (`label`, `tie`) of `standings` by time: of a party about a time, and of an owner in a period.

    Time is told in steps of the widest start tolerance. `around` gives what stands its own step and those beside it, so that
    whatever is near enough has a tie with it by its own step alone.
    """
    rules = frontier.policies.frame
    found = [pl.DataFrame(schema=_BLOCKING_KEY)]
    placed = stood.filter(pl.col("by_nearest") & pl.col("time_us").is_not_null())
    if not placed.is_empty():
        step = rules.filter("by_nearest").select(pl.col("start_tolerance_us").max() + 1).item()
        for beside in (-1, 0, 1) if around else (0,):
            tie = pl.col("party") ^ (pl.col("time_us") // step + beside).hash(71)
            found.append(placed.select(COMPONENT_KEY, blocking_key=tie))
    summed = stood.filter("by_aggregate")
    if not summed.is_empty():
        # Without any time a record waits in a period without a number, and has one beside when a closing tells it.
        waiting = summed.filter(pl.col("time_us").is_null()).with_columns(aggregation_time_us=pl.lit(None, pl.Int64))
        for (period, zone), _ in rules.filter("by_aggregate").group_by("period_us", "timezone", maintain_order=True):
            assert isinstance(period, int) and isinstance(zone, str)
            index = period_index(pl.col("aggregation_time_us"), period, zone)
            tie = pl.col("aggregation_key") ^ index.hash(81) ^ pl.lit(period).hash(83)
            found.append(pl.concat([summed, waiting]).select(COMPONENT_KEY, blocking_key=tie))
    return pl.concat(found)


def deadline_instants(rows: pl.DataFrame, stood: pl.DataFrame, labels: Hashes, frontier: Frontier) -> pl.DataFrame:
    """The instants (`label`, `at_us`) that streams pass of rows of `EVENTS`, standing so: their own, and the ends of periods.

    They have the `rule` of their label's records; those of records without a session key are `loose`.
    """
    due = pl.when(pl.col("assigned_at") != NEVER_POSITION).then("assigned_time_us")
    policies = frontier.policies
    own = with_due_date(rows, frontier).select(
        component_key=pl.Series(labels, dtype=pl.UInt64), at_us=pl.coalesce("time_us", due),
        unkeyed=pl.col("session_key").is_null(), rule=policies.rule_of(pl.col("service")),
    )  # fmt: skip
    # A unit takes its rule from one of its records and its time from another.
    one = pl.col("rule").min().over(COMPONENT_KEY) == pl.col("rule").max().over(COMPONENT_KEY)
    own = own.with_columns(rule=pl.when(one).then("rule").otherwise(ANY_RULE).cast(pl.Int32))
    found, summed = [own], stood.filter("by_aggregate")
    if not summed.is_empty():
        of_label = own.select(COMPONENT_KEY, "rule").unique()
        for (period, zone), _ in policies.frame.filter("by_aggregate").group_by("period_us", "timezone", maintain_order=True):
            assert isinstance(period, int) and isinstance(zone, str)
            end = period_last_us(period_index(pl.col("aggregation_time_us"), period, zone), period, zone)
            ends = summed.select(COMPONENT_KEY, at_us=end, unkeyed=pl.lit(False))
            found.append(ends.join(of_label, on=COMPONENT_KEY).select(own.columns))
    return pl.concat(found).drop_nulls()


def _hash(names: list[str], seed: int) -> pl.Expr:
    mixed = pl.col(names[0]).hash(seed)
    for n, name in enumerate(names[1:], start=1):
        mixed = mixed ^ pl.col(name).hash(seed + n)
    return mixed
