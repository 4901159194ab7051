"""Blocking keys: hashes that two records share if they may belong to one component.

Records share a *blocking key* if they have one name, one session, one party at nearly one time, or one period. Keys are coarser
than the matches of the kernel: two records that share one need not match. Two records that could match share a key, or each shares
a key with a third record. A hash collision links unrelated records, which only costs time.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.policies.policy import NEVER_POSITION, Policies
from trueup.reconcile.blocking.neighbourhood import party_time_pairs
from trueup.reconcile.blocking.sums import period_kinds, summed_as, with_calendars
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.record_hashes import NAMES, Hashes, corrected_hashes, is_duplicated, record_hashes, session_hashes
from trueup.reconcile.domain.tariff_terms import FLAT, Terms
from trueup.reconcile.sessions.admission import with_due_date
from trueup.reconcile.sessions.grouping import PARTY

_HASHED_PARTY = [n for n in PARTY if n != "currency"]
_AGGREGATED_BY = ["scope", "service", "subscriber"]
_CANDIDATE_KEY = list(dict.fromkeys((*_HASHED_PARTY, *NAMES, "source", "position", "time_us")))
COMPONENT_KEY = "component_key"
"""The column with the component number that the caller gives each row."""
ANY_RULE = -2
"""Rule number for records whose component has several rules; passing an instant of any rule affects them."""
_BLOCKING_KEY = {COMPONENT_KEY: pl.UInt64(), "blocking_key": pl.UInt64()}


def session_hashes_or_record(rows: pl.DataFrame) -> Hashes:
    """Return one hash per row of `EVENTS`: the hash of the session key or, without one, of the record."""
    keyed = rows["session_key"].is_not_null().to_numpy()
    return np.where(keyed, session_hashes(rows), record_hashes(rows))


def identity_keys(rows: pl.DataFrame) -> Hashes:
    """Return the blocking keys of rows (`NAMES`) by name: of their records, sessions and corrected records."""
    keyed = rows["session_key"].is_not_null().to_numpy()
    return np.concatenate([session_hashes(rows)[keyed], record_hashes(rows), corrected_hashes(rows)])


def candidate_keys(rows: pl.DataFrame, component_keys: Hashes, frontier: Frontier, terms: Terms = FLAT) -> pl.DataFrame:
    """Return the parties and times at which the sessions and charge groups of rows of `EVENTS` could be matched.

    Rows are (`component_key`, `party`, `aggregation_key`, `by_nearest`, `by_aggregate`, `time_us`, `aggregation_time_us`,
    `cycle_day`, `own_zone`). The times are the times known along a frontier. See `neighbourhood` for units of several parties.
    """
    policies = frontier.policies
    rules = policies.frame.group_by("rule").agg(pl.col("by_nearest", "by_aggregate").any()).sort("rule")
    rule_index = policies.rule_index(0, rows.select(policies.rule_of(pl.col("service"))).to_series().to_numpy())
    by_nearest, by_aggregate = (rules[n].to_numpy()[rule_index] for n in ("by_nearest", "by_aggregate"))
    matched_by_time = by_nearest | by_aggregate
    timed = with_due_date(rows.select(_CANDIDATE_KEY).filter(pl.Series(matched_by_time)), frontier)
    due = pl.when(pl.col("assigned_at") != NEVER_POSITION).then("assigned_time_us")
    groups = session_hashes_or_record(timed)
    side = np.where(timed["charge"].to_numpy(), ~groups, groups)
    candidates = timed.select(
        "time_us", component_key=pl.Series(component_keys[matched_by_time], dtype=pl.UInt64), side=pl.Series(side),
        party=_hash(_HASHED_PARTY, 41), by_nearest=pl.Series(by_nearest[matched_by_time]),
        by_aggregate=pl.Series(by_aggregate[matched_by_time]), aggregation_time_us=pl.coalesce("time_us", due),
        is_repeated=pl.Series(is_duplicated(side)),
    )  # fmt: skip
    if by_aggregate.any():
        summed = candidates.hstack([*_hash_aggregation_keys(timed, policies), *timed.select("subscriber", known="position")])
        exploded = summed.explode("aggregation_key")
        calendars = with_calendars(exploded, terms, has_own_calendars=policies.has_own_calendars)
        candidates = calendars.drop("subscriber", "known")
    else:
        candidates = candidates.with_columns(
            aggregation_key=pl.lit(0, pl.UInt64), cycle_day=pl.lit(None, pl.Int64), own_zone=pl.lit(None, pl.String)
        )
    repeated = candidates.filter("is_repeated").drop("is_repeated")
    pairs = party_time_pairs(repeated, unit=["side"], party=["party"], times=["time_us", "aggregation_time_us"])
    candidates = candidates.drop("is_repeated")
    return (candidates if pairs.is_empty() else pl.concat([candidates, pairs])).drop("side")


def _hash_aggregation_keys(rows: pl.DataFrame, policies: Policies) -> pl.DataFrame:
    """Return `aggregation_key` of each row: a list with the hashes of the sums to which it can belong; 0 for none."""
    numbered = rows.select(*_AGGREGATED_BY, rule=policies.rule_of(pl.col("service"))).with_row_index("row")
    keys = summed_as(numbered, policies).select("row", aggregation_key=_hash(_AGGREGATED_BY, 61))
    of_rows = numbered.select("row").join(keys, on="row", how="left", maintain_order="left")
    return of_rows.group_by("row", maintain_order=True).agg(pl.col("aggregation_key").fill_null(0)).drop("row")


def blocking_keys(candidates: pl.DataFrame, frontier: Frontier, *, around: bool) -> pl.DataFrame:
    """Return the blocking keys (`component_key`, `blocking_key`) of `candidate_keys` by time.

    A key stands for a party near a time, or for a service and subscriber in a period. Time is divided into steps of the widest
    start tolerance. With `around`, a row gets the keys of its own step and of both adjacent steps. Any row within the tolerance
    then shares a key with it, even if that row has only the key of its own step.
    """
    rules = frontier.policies.frame
    keys = [pl.DataFrame(schema=_BLOCKING_KEY)]
    nearest = candidates.filter(pl.col("by_nearest") & pl.col("time_us").is_not_null())
    if not nearest.is_empty():
        step = rules.filter("by_nearest").select(pl.col("start_tolerance_us").max() + 1).item()
        for step_offset in (-1, 0, 1) if around else (0,):
            key = pl.col("party") ^ (pl.col("time_us") // step + step_offset).hash(71)
            keys.append(nearest.select(COMPONENT_KEY, blocking_key=key))
    aggregated = candidates.filter("by_aggregate")
    if not aggregated.is_empty():
        # A record without a time belongs to a period without a number, and to a numbered one once a closing has assigned its time.
        undated = aggregated.filter(pl.col("time_us").is_null()).with_columns(aggregation_time_us=pl.lit(None, pl.Int64))
        for kind in period_kinds(frontier.policies, aggregated):
            key = pl.col("aggregation_key") ^ kind.index("aggregation_time_us").hash(81) ^ pl.lit(kind.period).hash(83)
            keys.append(pl.concat([aggregated, undated]).select(COMPONENT_KEY, blocking_key=key))
    return pl.concat(keys)


def deadline_instants(rows: pl.DataFrame, candidates: pl.DataFrame, component_keys: Hashes, frontier: Frontier) -> pl.DataFrame:
    """Return the instants (`component_key`, `at_us`) at which rows of `EVENTS` may change once a stream passes them.

    The instants are the times of the records and the ends of their periods, with the `rule` of the component's records. Instants of
    records without a session key are `unkeyed`.
    """
    due = pl.when(pl.col("assigned_at") != NEVER_POSITION).then("assigned_time_us")
    policies = frontier.policies
    own = with_due_date(rows, frontier).select(
        component_key=pl.Series(component_keys, dtype=pl.UInt64), at_us=pl.coalesce("time_us", due),
        unkeyed=pl.col("session_key").is_null(), rule=policies.rule_of(pl.col("service")),
    )  # fmt: skip
    # A unit may take its rule from one record and its time from another, so a component of several rules gets `ANY_RULE`.
    one_rule = pl.col("rule").min().over(COMPONENT_KEY) == pl.col("rule").max().over(COMPONENT_KEY)
    own = own.with_columns(rule=pl.when(one_rule).then("rule").otherwise(ANY_RULE).cast(pl.Int32))
    instants, aggregated = [own], candidates.filter("by_aggregate")
    if not aggregated.is_empty():
        rules = own.select(COMPONENT_KEY, "rule").unique()
        for kind in period_kinds(policies, aggregated):
            ends = aggregated.select(COMPONENT_KEY, at_us=kind.last_us("aggregation_time_us"), unkeyed=pl.lit(False))
            instants.append(ends.join(rules, on=COMPONENT_KEY).select(own.columns))
    return pl.concat(instants).drop_nulls()


def _hash(names: list[str], seed: int) -> pl.Expr:
    combined = pl.col(names[0]).hash(seed)
    for n, name in enumerate(names[1:], start=1):
        combined = combined ^ pl.col(name).hash(seed + n)
    return combined
