"""Priced sessions: units as of one position each, with their price and the positions at which streams pass them.

A unit is *complete* once its own stream has passed its last partial record by grace; without partial records, at once.

A unit is *match-ready* when no exact partner can arrive in time any more. A unit without a session key waits for both streams to
pass its start by the start tolerance. A unit with a session key waits for both to pass its last record by grace, since its exact
partner may still arrive within grace.

A usage feed and a charge feed reach 100, 200 and 300 µs at positions 1, 2 and 3. The tolerance is 20 µs, the grace 150 µs:

>>> from trueup.reconcile.domain.frontier import RunningMax
>>> from trueup.policies.policy import Policies, Policy, SourceRules
>>> policies = Policies([Policy(sources={"switch": SourceRules("usage"), "billing": SourceRules("charge")})])
>>> feed = RunningMax(np.array([1, 2, 3]), np.array([100, 200, 300]))
>>> units = pl.DataFrame({
...     "charge": [False, False], "last_us": [90, 90], "grace_us": [150, 150], "closed_wait_us": [0, 0],
...     "start_tolerance_us": [20, 20], "policy": [0, 0], "grouped_by_key": [False, True], "beyond_horizon": [False, False],
...     "has_partials": [False, False],
... })
>>> with_positions = _with_watermark_positions(units, Frontier(policies, observed={"switch": feed, "billing": feed}))
>>> with_positions.select("grouped_by_key", "match_ready_at").rows()  # 200 > 90 + 20, 300 > 90 + 150
[(False, 2), (True, 3)]
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.pricing.price_table import PriceTable
from trueup.reconcile.sessions.grouping import group_records


def priced_sessions(rows: pl.DataFrame, frontier: Frontier, prices: PriceTable) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return (`rows` with `main`, sessions, charge groups), one row for each unit at each position.

    Sessions have `pool_session_id`, their number in the pools, and their price: `expected_micros` and its `reason`.
    """
    ordered, units = group_records(rows, frontier, prices.terms)
    timed = _with_watermark_positions(units, frontier)
    return ordered, prices.with_prices(timed.filter(~pl.col("charge"))), timed.filter("charge")


def _with_watermark_positions(units: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add the positions from which each unit is complete, passed by the other stream, and match-ready.

    The columns are `complete_at`, `other_watermark_position` and `match_ready_at`. Streams pass a unit by (last, grace).
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
    return units.hstack([
        pl.Series("complete_at", np.where(units["has_partials"].to_numpy() & ~beyond, own, 0)),
        pl.Series("other_watermark_position", np.where(beyond, 0, other)),
        pl.Series("match_ready_at", match_ready_at),
    ])  # fmt: skip
