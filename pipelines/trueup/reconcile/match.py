"""Sessions and bills as of one position each, and which of them belong together.

All frames hold many components at once, each as of its own position `at` under its own `policy`; a group (`gid`) belongs to
one component, so that joining on groups never mixes positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.reconcile.frontier import Frontier
from trueup.reconcile.price import PRICED, priced
from trueup.reconcile.rules import UNTOLD_US
from trueup.reconcile.terms import Terms

PARTY = ["scope", "currency", "service", "subscriber", "peer"]
RATED_BY = ["direction", "zone", "trunk"]
"""What else of its first record a unit's price depends on."""


def units_of(rows: pl.DataFrame, frontier: Frontier, terms: Terms) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Gathers versions into units: (`rows` with `main`, one row for each session and bill).

    Of the charges of one bill and `partial_no` the least (negative, time, record) is main, the rest excess; all usage is
    main. A unit's party is that of its first record; its start, quantity and `main_micros` are of its main records.
    """
    slot = pl.struct("gid", "charge", "partial_no")
    ordered = rows.sort(pl.col("amount_micros") < 0, "time_us", "rid", nulls_last=True)
    ordered = ordered.with_columns(main=~pl.col("charge") | slot.is_first_distinct()).sort("time_us", "rid", nulls_last=True)
    main, wide = pl.col("main"), pl.Int128
    due = pl.when(pl.col("due_position") <= pl.col("at")).then("due_us").otherwise(UNTOLD_US)
    prepared = ordered.with_columns(
        wait_us=pl.coalesce("time_us", due),
        start_us=pl.when(main).then("time_us"),
        start_told=pl.col("started") | ~main,
        core_micros=pl.when(main).then(pl.col("quantity_micros").cast(wide)).otherwise(pl.lit(0, wide)),
        main_micros=pl.when(main).then(pl.col("amount_micros")).otherwise(0).cast(wide),
        all_micros=pl.col("amount_micros").cast(wide),
        in_part=pl.col("partial_no").is_not_null(),
    )
    units = prepared.group_by("gid", "charge", maintain_order=True).agg(
        pl.col("component", "at", "policy", "bucket", *PARTY, *RATED_BY, "node", "keyed", "beyond", "rule").first(),
        pl.col("start_us").min(),
        order=pl.col("event_id").first(),
        last_us=pl.col("wait_us").max(),
        has_start=pl.col("start_told").all(),
        in_parts=pl.col("in_part").any(),
        quantity_micros=pl.when(pl.col("core_micros").null_count() == 0).then(pl.col("core_micros").sum()),
        main_micros=pl.col("main_micros").sum(),
        all_micros=pl.col("all_micros").sum(),
        records=pl.len(),
    )
    ruled = units.join(frontier.policies.frame, on=["policy", "rule"], how="left", maintain_order="left")
    ruled = ruled.with_columns(pl.col("exact", "near", "summed") & ~pl.col("beyond"))
    return ordered, _with_passing(_with_price(ruled, terms), frontier)


def _with_price(units: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """Adds the `plan` and `standing` of each unit's subscription, and of sessions `expected_micros` and its `reason`."""
    states = terms.states_at(units.select("subscriber", "at", time_us="start_us"))
    known = units.hstack(states)
    sessions = known.filter(~pl.col("charge"))
    rated = pl.concat([sessions, priced(sessions, terms)], how="horizontal")
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
