"""Sessions and bills as of one position each, and which of them belong together.

All frames hold many components at once, each as of its own position `at` under its own `policy`; a group (`group_no`) belongs to
one component, so that joining on groups never mixes positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.pricing.allowance_pools import NO_POOLS, Pools
from trueup.reconcile.pricing.calls import PRICED
from trueup.reconcile.pricing.session_price import price_sessions
from trueup.reconcile.sessions.grouping import PARTY, group_records


def priced_sessions(
    rows: pl.DataFrame, frontier: Frontier, terms: Terms, pools: Pools = NO_POOLS
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Gathers versions into units: (`rows` with `main`, one row for each session and bill), priced as the `pools` tell."""
    ordered, units = group_records(rows, frontier, terms)
    return ordered, _with_watermark_positions(_with_price(units, terms, pools), frontier)


def _with_price(units: pl.DataFrame, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Adds `pool_session_id` to each unit, its number in the pools, and to sessions `expected_micros` and its `reason`."""
    known = units.with_columns(pools.pool_session_of(units))
    sessions = known.filter(~pl.col("charge"))
    rated = pl.concat([sessions, price_sessions(sessions, terms, pools)], how="horizontal")
    none = (pl.lit(None, t).alias(n) for n, t in PRICED.items())
    return pl.concat([rated, known.filter("charge").with_columns(none)])


def _with_watermark_positions(units: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add the positions at which each unit's own and the other stream pass (last, grace), and at which it is match-ready.

    The columns are `own_watermark_position`, `other_watermark_position` and `match_ready_at`.
    """
    charge, last = units["charge"].to_numpy(), units["last_us"].to_numpy()
    grace, closed = units["grace_us"].to_numpy(), units["closed_wait_us"].to_numpy()
    tolerance, policy = units["start_tolerance_us"].to_numpy(), units["policy"].to_numpy()
    own = frontier.passed_at(charge, last, grace, closed, policy)
    other = frontier.passed_at(~charge, last, grace, closed, policy)
    short = [frontier.passed_at(side, last, tolerance, np.minimum(tolerance, closed), policy) for side in (charge, ~charge)]
    ripe = np.where(units["grouped_by_key"].to_numpy(), np.maximum(own, other), np.maximum(*short))
    beyond = units["beyond_horizon"].to_numpy()
    return units.with_columns(
        own_watermark_position=pl.Series(np.where(beyond, 0, own)),
        other_watermark_position=pl.Series(np.where(beyond, 0, other)),
        match_ready_at=pl.Series(ripe),
    ).with_columns(
        is_complete=~pl.col("has_partials") | (pl.col("own_watermark_position") <= pl.col("at")),
        match_ready=pl.col("match_ready_at") <= pl.col("at"),
    )


@dataclass(frozen=True)
class Matched:
    """Who belongs to whom: `pairs` (session, bill, settled) by gid, bills that are `excess` of a session (bill, session), and
    the free units left with whether an edge keeps them waiting (`blocked_by_edge`)."""

    pairs: pl.DataFrame
    excess: pl.DataFrame
    free: pl.DataFrame
    settled: pl.DataFrame


def match(units: pl.DataFrame, settled: pl.DataFrame) -> Matched:
    """Links exactly, then settles every nearest pair that can be decided now.

    `settled` holds the pairs (session, bill) settled at earlier positions of these components; the result's holds all.
    """
    sessions, bills = units.filter(~pl.col("charge")), units.filter("charge")
    links, excess = _match_by_key(sessions, bills, settled)
    taken_s = pl.concat([links["session"], settled["session"]])
    taken_b = pl.concat([links["charge_group"], excess["charge_group"], settled["charge_group"]])
    free_sessions = sessions.filter(~pl.col("by_aggregate") & ~pl.col("group_no").is_in(taken_s.implode()))
    free_bills = bills.filter(~pl.col("by_aggregate") & ~pl.col("group_no").is_in(taken_b.implode()))
    made, edges = _settle_stable_edges(_candidate_edges(free_sessions, free_bills))
    all_settled = pl.concat([settled, made])
    free = pl.concat(
        [
            free_sessions.join(made, left_on="group_no", right_on="session", how="anti")
            .with_columns(blocked_by_edge=pl.col("group_no").is_in(edges["session"].implode())),
            free_bills.join(made, left_on="group_no", right_on="charge_group", how="anti")
            .with_columns(blocked_by_edge=pl.col("group_no").is_in(edges["charge_group"].implode())),
        ]
    )  # fmt: skip
    pairs = pl.concat([links.with_columns(settled=pl.lit(False)), all_settled.with_columns(settled=pl.lit(True))])
    return Matched(pairs, excess, free, all_settled)


def _match_by_key(sessions: pl.DataFrame, bills: pl.DataFrame, settled: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sessions and bills of one key, as (links session–bill, excess bill–session of a session settled elsewhere)."""
    same = (
        sessions.filter(pl.col("grouped_by_key") & pl.col("by_key")).select("group_no")
        .join(bills.filter(pl.col("grouped_by_key") & ~pl.col("by_aggregate")).select("group_no"), on="group_no")
        .filter(~pl.col("group_no").is_in(settled["charge_group"].implode()))
        .with_columns(elsewhere=pl.col("group_no").is_in(settled["session"].implode()))
    )  # fmt: skip
    links = same.filter(~pl.col("elsewhere")).select(session="group_no", charge_group="group_no")
    return links, same.filter("elsewhere").select(charge_group="group_no", session="group_no")


def _candidate_edges(sessions: pl.DataFrame, bills: pl.DataFrame) -> pl.DataFrame:
    """Every edge between free units, in the order of their rank."""
    wanted = [*PARTY, "group_no", "start_us", "quantity_micros", "grouped_by_key", "match_ready"]
    able = bills.filter(~pl.col("beyond_horizon") & pl.col("has_start") & pl.col("quantity_micros").is_not_null()).select(wanted)
    near = sessions.filter("by_nearest").select(*wanted, "start_tolerance_us", "quantity_tolerance_micros")
    start, quantity = pl.col("start_us") - pl.col("start_us_charge"), pl.col("quantity_micros") - pl.col("quantity_micros_charge")
    waits = (pl.col("grouped_by_key") & ~pl.col("match_ready")) | (pl.col("grouped_by_key_charge") & ~pl.col("match_ready_charge"))
    return (
        near.join(able, on=PARTY, suffix="_charge", nulls_equal=True)
        .with_columns(start_apart=start.abs(), quantity_apart=quantity.abs(), undecided=waits)
        .filter(
            (pl.col("start_apart") <= pl.col("start_tolerance_us"))
            & (pl.col("undecided") | (pl.col("quantity_apart") <= pl.col("quantity_tolerance_micros")))
        )
        .sort(~pl.col("undecided"), "start_apart", "quantity_apart", "group_no", "group_no_charge")
        .select(
            session="group_no", charge_group="group_no_charge", match_ready=pl.col("match_ready") & pl.col("match_ready_charge")
        )
    )


def _settle_stable_edges(edges: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Takes out, again and again, the ripe edges that rank first at both their ends; returns (pairs made, edges left)."""
    made = [edges.select("session", "charge_group").clear()]
    while not edges.is_empty():
        first = pl.col("session").is_first_distinct() & pl.col("charge_group").is_first_distinct() & pl.col("match_ready")
        new = edges.filter(first).select("session", "charge_group")
        if new.is_empty():
            break
        made.append(new)
        edges = edges.join(new, on="session", how="anti", maintain_order="left").join(
            new, on="charge_group", how="anti", maintain_order="left"
        )
    return pl.concat(made), edges
