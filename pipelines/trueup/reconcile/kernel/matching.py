"""Matching: sessions and charge groups as of one position each, and which of them belong together.

All frames hold many components at once, each as of its own position `at` under its own `policy`. A group (`group_no`) belongs to
one component, so a join on groups never mixes positions.

A session and a charge group of one key are an exact match. Session 1 below has the charge group of the same group number:

>>> columns = {"grouped_by_key": True, "by_key": True, "by_nearest": True, "by_aggregate": False, "beyond_horizon": False}
>>> unit = {"charge": False, "quantity_micros": 60, "has_start": True, "match_ready": True, "start_tolerance_us": 5,
...         "quantity_tolerance_micros": 0, **dict.fromkeys(PARTY, "x"), **columns}
>>> no_key = {"grouped_by_key": False}
>>> units = pl.DataFrame([
...     unit | {"group_no": 1, "start_us": 100}, unit | {"group_no": 1, "charge": True, "start_us": 900},
...     unit | no_key | {"group_no": 2, "start_us": 200}, unit | no_key | {"group_no": 3, "start_us": 204},
...     unit | no_key | {"group_no": 4, "charge": True, "start_us": 203},
... ])
>>> none = pl.DataFrame(schema={"session": pl.Int64, "charge_group": pl.Int64})
>>> matched = match(units, none)
>>> matched.pairs.rows()  # session 1 by key; session 3 is the nearest of charge group 4, which ends at 203
[(1, 1, False), (3, 4, True)]
>>> matched.free["group_no"].to_list()  # session 2 has no partner
[2]

While a keyed unit is not match-ready, its exact partner may still arrive, so its edges decide nothing and block their other end:

>>> waiting = unit | {"group_no": 5, "start_us": 203, "match_ready": False}
>>> matched = match(pl.concat([units.filter(pl.col("group_no") >= 4), pl.DataFrame([waiting])], how="diagonal"), none)
>>> matched.pairs.height, matched.free.select("group_no", "blocked_by_edge").sort("group_no").rows()
(0, [(4, True), (5, True)])
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.reconcile.sessions.grouping import PARTY


@dataclass(frozen=True)
class Matched:
    """The result of matching.

    `pairs` are (session, charge_group, settled) by group number. `excess` are charge groups (charge_group, session) of a
    session that is settled elsewhere. `free` are the unmatched units, with `blocked_by_edge` where an undecided edge blocks
    them. `settled` are all settled pairs (session, charge_group).
    """

    pairs: pl.DataFrame
    excess: pl.DataFrame
    free: pl.DataFrame
    settled: pl.DataFrame


def match(units: pl.DataFrame, settled: pl.DataFrame) -> Matched:
    """Match by key, then settle every nearest pair that can be decided now.

    `settled` holds the pairs (session, charge_group) settled at earlier positions of these components. The result's holds all.
    """
    sessions, charge_groups = units.filter(~pl.col("charge")), units.filter("charge")
    links, excess = _match_by_key(sessions, charge_groups, settled)
    taken_sessions = pl.concat([links["session"], settled["session"]])
    taken_groups = pl.concat([links["charge_group"], excess["charge_group"], settled["charge_group"]])
    free_sessions = sessions.filter(~pl.col("by_aggregate") & ~pl.col("group_no").is_in(taken_sessions.implode()))
    free_groups = charge_groups.filter(~pl.col("by_aggregate") & ~pl.col("group_no").is_in(taken_groups.implode()))
    new_pairs, edges = _settle_stable_edges(_candidate_edges(free_sessions, free_groups))
    all_settled = pl.concat([settled, new_pairs])
    free = pl.concat(
        [
            free_sessions.join(new_pairs, left_on="group_no", right_on="session", how="anti")
            .with_columns(blocked_by_edge=pl.col("group_no").is_in(edges["session"].implode())),
            free_groups.join(new_pairs, left_on="group_no", right_on="charge_group", how="anti")
            .with_columns(blocked_by_edge=pl.col("group_no").is_in(edges["charge_group"].implode())),
        ]
    )  # fmt: skip
    pairs = pl.concat([links.with_columns(settled=pl.lit(False)), all_settled.with_columns(settled=pl.lit(True))])
    return Matched(pairs, excess, free, all_settled)


def _match_by_key(sessions: pl.DataFrame, charge_groups: pl.DataFrame, settled: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (pairs of one key, charge groups of one key whose session is settled elsewhere)."""
    same_key = (
        sessions.filter(pl.col("grouped_by_key") & pl.col("by_key")).select("group_no")
        .join(charge_groups.filter(pl.col("grouped_by_key") & ~pl.col("by_aggregate")).select("group_no"), on="group_no")
        .filter(~pl.col("group_no").is_in(settled["charge_group"].implode()))
        .with_columns(elsewhere=pl.col("group_no").is_in(settled["session"].implode()))
    )  # fmt: skip
    links = same_key.filter(~pl.col("elsewhere")).select(session="group_no", charge_group="group_no")
    return links, same_key.filter("elsewhere").select(charge_group="group_no", session="group_no")


def _candidate_edges(sessions: pl.DataFrame, charge_groups: pl.DataFrame) -> pl.DataFrame:
    """Return every edge between free units, in the order of their rank."""
    columns = [*PARTY, "group_no", "start_us", "quantity_micros", "grouped_by_key", "match_ready"]
    ends = charge_groups.filter(~pl.col("beyond_horizon") & pl.col("has_start") & pl.col("quantity_micros").is_not_null()).select(
        columns
    )
    starts = sessions.filter("by_nearest").select(*columns, "start_tolerance_us", "quantity_tolerance_micros")
    start_difference = pl.col("start_us") - pl.col("start_us_charge")
    quantity_difference = pl.col("quantity_micros") - pl.col("quantity_micros_charge")
    undecided = (pl.col("grouped_by_key") & ~pl.col("match_ready")) | (
        pl.col("grouped_by_key_charge") & ~pl.col("match_ready_charge")
    )
    return (
        starts.join(ends, on=PARTY, suffix="_charge", nulls_equal=True)
        .with_columns(start_difference=start_difference.abs(), quantity_difference=quantity_difference.abs(), undecided=undecided)
        .filter(
            (pl.col("start_difference") <= pl.col("start_tolerance_us"))
            & (pl.col("undecided") | (pl.col("quantity_difference") <= pl.col("quantity_tolerance_micros")))
        )
        .sort(~pl.col("undecided"), "start_difference", "quantity_difference", "group_no", "group_no_charge")
        .select(
            session="group_no", charge_group="group_no_charge", match_ready=pl.col("match_ready") & pl.col("match_ready_charge")
        )
    )


def _settle_stable_edges(edges: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Take out, repeatedly, the match-ready edges that rank first at both ends; return (settled pairs, other edges)."""
    settled = [edges.select("session", "charge_group").clear()]
    while not edges.is_empty():
        ranks_first = pl.col("session").is_first_distinct() & pl.col("charge_group").is_first_distinct() & pl.col("match_ready")
        stable = edges.filter(ranks_first).select("session", "charge_group")
        if stable.is_empty():
            break
        settled.append(stable)
        edges = edges.join(stable, on="session", how="anti", maintain_order="left").join(
            stable, on="charge_group", how="anti", maintain_order="left"
        )
    return pl.concat(settled), edges
