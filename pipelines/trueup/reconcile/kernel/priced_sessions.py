"""Priced sessions: units as of one position each, with their price and the positions at which streams pass them.

A unit is *match-ready* when no exact partner can arrive in time any more. A unit without a session key waits for both streams to
pass its start by the start tolerance. A unit with a session key waits for both to pass its last record by grace, since its exact
partner may still arrive within grace.

A usage feed and a charge feed that reach 100, 200 and 300 µs at positions 1, 2 and 3; a tolerance of 20 µs and a grace of 150 µs:

>>> from trueup.reconcile.domain.frontier import RunningMax
>>> from trueup.policies.policy import Policies, Policy, SourceRules
>>> policies = Policies([Policy(sources={"switch": SourceRules("usage"), "billing": SourceRules("charge")})])
>>> feed = RunningMax(np.array([1, 2, 3]), np.array([100, 200, 300]))
>>> units = pl.DataFrame({
...     "charge": [False, False], "last_us": [90, 90], "grace_us": [150, 150], "closed_wait_us": [0, 0],
...     "start_tolerance_us": [20, 20], "policy": [0, 0], "grouped_by_key": [False, True], "beyond_horizon": [False, False],
...     "has_partials": [False, False], "at": [2, 2],
... })
>>> with_positions = _with_watermark_positions(units, Frontier(policies, observed={"switch": feed, "billing": feed}))
>>> with_positions.select("grouped_by_key", "match_ready_at", "match_ready").rows()  # 200 > 90 + 20, 300 > 90 + 150
[(False, 2, True), (True, 3, False)]
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.pricing.allowance_pools import NO_POOLS, Pools
from trueup.reconcile.pricing.calls import PRICED
from trueup.reconcile.pricing.session_price import price_sessions
from trueup.reconcile.sessions.grouping import group_records


def priced_sessions(
    rows: pl.DataFrame, frontier: Frontier, terms: Terms, pools: Pools = NO_POOLS
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (`rows` with `main`, one row for each session and charge group), sessions with their prices."""
    ordered, units = group_records(rows, frontier, terms)
    return ordered, _with_watermark_positions(_with_price(units, terms, pools), frontier)


def _with_price(units: pl.DataFrame, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Add `pool_session_id`, the number in the pools, to each unit, and `expected_micros` and its `reason` to sessions."""
    numbered = units.with_columns(pools.pool_session_of(units))
    sessions = numbered.filter(~pl.col("charge"))
    priced = pl.concat([sessions, price_sessions(sessions, terms, pools)], how="horizontal")
    unpriced = (pl.lit(None, t).alias(n) for n, t in PRICED.items())
    return pl.concat([priced, numbered.filter("charge").with_columns(unpriced)])


def _with_watermark_positions(units: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add the positions at which each unit's own and the other stream pass (last, grace), and at which it is match-ready.

    The columns are `own_watermark_position`, `other_watermark_position` and `match_ready_at`; `is_complete` and `match_ready`
    mark units that have reached the first and the last.
    """
    charge, last_us = units["charge"].to_numpy(), units["last_us"].to_numpy()
    grace_us, closed_wait = units["grace_us"].to_numpy(), units["closed_wait_us"].to_numpy()
    tolerance, policy = units["start_tolerance_us"].to_numpy(), units["policy"].to_numpy()
    own = frontier.passed_at(charge, last_us, grace_us, closed_wait, policy)
    other = frontier.passed_at(~charge, last_us, grace_us, closed_wait, policy)
    short_waits = [
        frontier.passed_at(side, last_us, tolerance, np.minimum(tolerance, closed_wait), policy) for side in (charge, ~charge)
    ]
    match_ready_at = np.where(units["grouped_by_key"].to_numpy(), np.maximum(own, other), np.maximum(*short_waits))
    beyond = units["beyond_horizon"].to_numpy()
    return units.with_columns(
        own_watermark_position=pl.Series(np.where(beyond, 0, own)),
        other_watermark_position=pl.Series(np.where(beyond, 0, other)),
        match_ready_at=pl.Series(match_ready_at),
    ).with_columns(
        is_complete=~pl.col("has_partials") | (pl.col("own_watermark_position") <= pl.col("at")),
        match_ready=pl.col("match_ready_at") <= pl.col("at"),
    )
