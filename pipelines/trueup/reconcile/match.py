"""Sessions and bills as of one position each, and which of them belong together.

All frames hold many components at once, each as of its own position `at` under its own `policy`; a group (`gid`) belongs to
one component, so that joining on groups never mixes positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.reconcile.calls import PRICED
from trueup.reconcile.frontier import Frontier
from trueup.reconcile.pools import ALONE, Pools
from trueup.reconcile.price import priced
from trueup.reconcile.terms import Terms
from trueup.reconcile.units import PARTY, gathered


def units_of(rows: pl.DataFrame, frontier: Frontier, terms: Terms, pools: Pools = ALONE) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Gathers versions into units: (`rows` with `main`, one row for each session and bill), priced as the `pools` tell."""
    ordered, units = gathered(rows, frontier, terms)
    return ordered, _with_passing(_with_price(units, terms, pools), frontier)


def _with_price(units: pl.DataFrame, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Adds `sharer` to each unit, its number in the pools, and to sessions `expected_micros` and its `reason`."""
    known = units.with_columns(pools.sharer_of(units))
    sessions = known.filter(~pl.col("charge"))
    rated = pl.concat([sessions, priced(sessions, terms, pools)], how="horizontal")
    none = (pl.lit(None, t).alias(n) for n, t in PRICED.items())
    return pl.concat([rated, known.filter("charge").with_columns(none)])


def _with_passing(units: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Adds positions: `own_passed` and `other_passed` (last, grace) by its own and the other stream, and `ripe_at`."""
    charge, last = units["charge"].to_numpy(), units["last_us"].to_numpy()
    grace, closed = units["grace_us"].to_numpy(), units["closed_wait_us"].to_numpy()
    tolerance, policy = units["start_tolerance_us"].to_numpy(), units["policy"].to_numpy()
    own = frontier.passed_at(charge, last, grace, closed, policy)
    other = frontier.passed_at(~charge, last, grace, closed, policy)
    short = [frontier.passed_at(side, last, tolerance, np.minimum(tolerance, closed), policy) for side in (charge, ~charge)]
    ripe = np.where(units["keyed"].to_numpy(), np.maximum(own, other), np.maximum(*short))
    beyond = units["beyond"].to_numpy()
    return units.with_columns(
        own_passed=pl.Series(np.where(beyond, 0, own)),
        other_passed=pl.Series(np.where(beyond, 0, other)),
        ripe_at=pl.Series(ripe),
    ).with_columns(whole=~pl.col("in_parts") | (pl.col("own_passed") <= pl.col("at")), ripe=pl.col("ripe_at") <= pl.col("at"))


@dataclass(frozen=True)
class Matched:
    """Who belongs to whom: `pairs` (session, bill, settled) by gid, bills that are `excess` of a session (bill, session), and
    the free units left with whether an edge keeps them waiting (`held`)."""

    pairs: pl.DataFrame
    excess: pl.DataFrame
    free: pl.DataFrame
    settled: pl.DataFrame


def match(units: pl.DataFrame, settled: pl.DataFrame) -> Matched:
    """Links exactly, then settles every nearest pair that can be decided now.

    `settled` holds the pairs (session, bill) settled at earlier positions of these components; the result's holds all.
    """
    sessions, bills = units.filter(~pl.col("charge")), units.filter("charge")
    links, excess = _exact(sessions, bills, settled)
    taken_s = pl.concat([links["session"], settled["session"]])
    taken_b = pl.concat([links["bill"], excess["bill"], settled["bill"]])
    free_sessions = sessions.filter(~pl.col("summed") & ~pl.col("gid").is_in(taken_s.implode()))
    free_bills = bills.filter(~pl.col("summed") & ~pl.col("gid").is_in(taken_b.implode()))
    made, edges = _settle(_edges(free_sessions, free_bills))
    all_settled = pl.concat([settled, made])
    free = pl.concat(
        [
            free_sessions.join(made, left_on="gid", right_on="session", how="anti")
            .with_columns(held=pl.col("gid").is_in(edges["session"].implode())),
            free_bills.join(made, left_on="gid", right_on="bill", how="anti")
            .with_columns(held=pl.col("gid").is_in(edges["bill"].implode())),
        ]
    )  # fmt: skip
    pairs = pl.concat([links.with_columns(settled=pl.lit(False)), all_settled.with_columns(settled=pl.lit(True))])
    return Matched(pairs, excess, free, all_settled)


def _exact(sessions: pl.DataFrame, bills: pl.DataFrame, settled: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sessions and bills of one key, as (links session–bill, excess bill–session of a session settled elsewhere)."""
    same = (
        sessions.filter(pl.col("keyed") & pl.col("exact")).select("gid")
        .join(bills.filter(pl.col("keyed") & ~pl.col("summed")).select("gid"), on="gid")
        .filter(~pl.col("gid").is_in(settled["bill"].implode()))
        .with_columns(elsewhere=pl.col("gid").is_in(settled["session"].implode()))
    )  # fmt: skip
    links = same.filter(~pl.col("elsewhere")).select(session="gid", bill="gid")
    return links, same.filter("elsewhere").select(bill="gid", session="gid")


def _edges(sessions: pl.DataFrame, bills: pl.DataFrame) -> pl.DataFrame:
    """Every edge between free units, in the order of their rank."""
    wanted = [*PARTY, "gid", "start_us", "quantity_micros", "keyed", "ripe"]
    able = bills.filter(~pl.col("beyond") & pl.col("has_start") & pl.col("quantity_micros").is_not_null()).select(wanted)
    near = sessions.filter("near").select(*wanted, "start_tolerance_us", "quantity_tolerance_micros")
    start, quantity = pl.col("start_us") - pl.col("start_us_bill"), pl.col("quantity_micros") - pl.col("quantity_micros_bill")
    waits = (pl.col("keyed") & ~pl.col("ripe")) | (pl.col("keyed_bill") & ~pl.col("ripe_bill"))
    return (
        near.join(able, on=PARTY, suffix="_bill", nulls_equal=True)
        .with_columns(start_apart=start.abs(), quantity_apart=quantity.abs(), undecided=waits)
        .filter(
            (pl.col("start_apart") <= pl.col("start_tolerance_us"))
            & (pl.col("undecided") | (pl.col("quantity_apart") <= pl.col("quantity_tolerance_micros")))
        )
        .sort(~pl.col("undecided"), "start_apart", "quantity_apart", "gid", "gid_bill")
        .select(session="gid", bill="gid_bill", ripe=pl.col("ripe") & pl.col("ripe_bill"))
    )


def _settle(edges: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Takes out, again and again, the ripe edges that rank first at both their ends; returns (pairs made, edges left)."""
    made = [edges.select("session", "bill").clear()]
    while not edges.is_empty():
        first = pl.col("session").is_first_distinct() & pl.col("bill").is_first_distinct() & pl.col("ripe")
        new = edges.filter(first).select("session", "bill")
        if new.is_empty():
            break
        made.append(new)
        edges = edges.join(new, on="session", how="anti", maintain_order="left").join(
            new, on="bill", how="anti", maintain_order="left"
        )
    return pl.concat(made), edges
