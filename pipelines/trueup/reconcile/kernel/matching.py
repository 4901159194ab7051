"""Matching: find the sessions and charge groups that belong together, each as of one position.

All frames hold many components at once, each as of its own positions under its own policy. A row holds for a span of positions, see
`spans_of`. Within a span units do not change, but edges do: each is decided, or ready, from some position on.

A session and a charge group of one key are an exact match. Session 1 below has the charge group of the same group number:

>>> unit = {"component": 1, "at": 5, "quantity_micros": 60, "has_start": True, "match_ready_at": 5, "start_tolerance_us": 5,
...         "quantity_tolerance_micros": 0, "grouped_by_key": False, "by_key": True, "by_nearest": True, "by_aggregate": False,
...         "is_correction": False, **dict.fromkeys(PARTY, "x")}
>>> sessions = pl.DataFrame([
...     unit | {"group_no": 1, "start_us": 100, "grouped_by_key": True}, unit | {"group_no": 2, "start_us": 200},
...     unit | {"group_no": 3, "start_us": 204},
... ])
>>> charge_groups = pl.DataFrame([
...     unit | {"group_no": 1, "start_us": 900, "grouped_by_key": True}, unit | {"group_no": 4, "start_us": 203},
... ])
>>> spans = pl.DataFrame({"component": [1], "at": [5], "next_at": [NEVER_POSITION]})
>>> matched = match(sessions, charge_groups, spans, SettledPairs.none(5))
>>> matched.charge_groups.select("group_no", "same_key", "partner").rows()  # 3 is the nearest of 4, which starts at 203
[(1, True, -1), (4, False, 3)]
>>> matched.sessions.filter((pl.col("partner") < 0) & ~pl.col("same_key"))["group_no"].to_list()  # session 2 has no partner
[2]

While a unit with a session key is not match-ready, its exact partner may still arrive. So its edges decide nothing, and block the
unit at their other end:

>>> early = sessions.filter(pl.col("group_no") > 1).with_columns(grouped_by_key=True, match_ready_at=9)
>>> matched = match(early, charge_groups.filter(pl.col("group_no") > 1), spans, SettledPairs.none(5))
>>> matched.blocked.sort("group_no", "since").select("group_no", "since", "until").rows()  # at 9 session 3 has charge group 4
[(2, 5, 9), (3, 5, 9), (4, 5, 9)]
>>> matched.sessions.select("group_no", "partner", "settled_at").rows()[1]
(3, 4, 9)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.policies.policy import NEVER_POSITION
from trueup.reconcile.sessions.grouping import PARTY

Numbers = NDArray[np.int64]
SPAN = ["component", "at"]
"""The key of a span of positions: units of one component from one position on."""
_BLOCKED = {**dict.fromkeys((*SPAN, "group_no"), pl.Int64), "charge": pl.Boolean, "since": pl.Int64, "until": pl.Int64}
_EDGE = dict.fromkeys((*SPAN, "next_at", "session", "charge_group", "undecided_until", "ready_at"), pl.Int64) | {
    "near": pl.Boolean, "has_same_key": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True)
class SettledPairs:
    """The nearest matches settled so far: each session's charge group, and each charge group's session, by group number.

    `session_of` and `charge_group_of` are −1, and `session_since` and `charge_group_since` are `NEVER_POSITION`, for groups whose
    charge group or session is not settled.
    """

    charge_group_of: Numbers
    session_since: Numbers
    session_of: Numbers
    charge_group_since: Numbers

    @classmethod
    def none(cls, groups: int) -> SettledPairs:
        """Return no settled pair of group numbers below `groups`."""
        return cls(*(np.full(groups, value, dtype=np.int64) for value in (-1, NEVER_POSITION) * 2))

    def add(self, sessions: Numbers, charge_groups: Numbers, positions: Numbers) -> None:
        """Settle pairs from a position on."""
        self.charge_group_of[sessions], self.session_since[sessions] = charge_groups, positions
        self.session_of[charge_groups], self.charge_group_since[charge_groups] = sessions, positions

    def are_apart(self, sessions: Numbers, charge_groups: Numbers) -> NDArray[np.bool_]:
        """Return whether neither end of each pair is settled."""
        apart: NDArray[np.bool_] = (self.session_since[sessions] == NEVER_POSITION) & (
            self.charge_group_since[charge_groups] == NEVER_POSITION
        )
        return apart


@dataclass(frozen=True)
class Matched:
    """Sessions and charge groups with their matches.

    `same_key` marks units that have their exact partner: a unit of the same group number. `partner` is the group that the unit is
    settled with from the position `settled_at` on. `partner_settled_at` is the position at which the exact partner is settled
    elsewhere. `blocked` are the units that an undecided edge blocks at the positions [since, until) of their span.
    """

    sessions: pl.DataFrame
    charge_groups: pl.DataFrame
    blocked: pl.DataFrame


def match(sessions: pl.DataFrame, charge_groups: pl.DataFrame, spans: pl.DataFrame, settled: SettledPairs) -> Matched:
    """Match by key, then settle every nearest pair from the position on at which it can be decided.

    `settled` holds the pairs settled at earlier positions of these components; pairs that settle now are added.
    """
    exact = _find_exact_matches(sessions, charge_groups)
    sessions, charge_groups = (
        frame.join(exact, on=["at", "group_no"], how="left", maintain_order="left")
        .with_columns(pl.col("same_key").fill_null(False)) for frame in (sessions, charge_groups)
    )  # fmt: skip
    blocked = _settle_stable_edges(_find_candidate_edges(sessions, charge_groups, spans), settled)
    session_no, charge_group_no = sessions["group_no"].to_numpy(), charge_groups["group_no"].to_numpy()
    return Matched(
        sessions.hstack([
            pl.Series("partner", settled.charge_group_of[session_no]), pl.Series("settled_at", settled.session_since[session_no]),
            pl.Series("partner_settled_at", settled.charge_group_since[session_no]),
        ]),
        charge_groups.hstack([
            pl.Series("partner", settled.session_of[charge_group_no]),
            pl.Series("settled_at", settled.charge_group_since[charge_group_no]),
            pl.Series("partner_settled_at", settled.session_since[charge_group_no]),
        ]),
        blocked,
    )  # fmt: skip


def _find_exact_matches(sessions: pl.DataFrame, charge_groups: pl.DataFrame) -> pl.DataFrame:
    """Return (`at`, `group_no`, `same_key`) of sessions and charge groups of one key."""
    keyed = charge_groups.filter(pl.col("grouped_by_key") & ~pl.col("by_aggregate")).select("at", "group_no", same_key=True)
    return sessions.filter(pl.col("grouped_by_key") & pl.col("by_key")).select("at", "group_no").join(keyed, on=["at", "group_no"])


def _find_candidate_edges(sessions: pl.DataFrame, charge_groups: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Return every edge between units without an exact match, by span and then in the order of their rank.

    An edge is undecided until a position; from then on it needs a quantity that is `near`. A session `has_same_key` if it has an
    exact partner; it can match otherwise only if that partner is settled elsewhere.
    """
    starts = sessions.filter("by_nearest")
    # A charge beyond the horizon is a component of its own, so it needs no condition.
    is_free = ~pl.col("same_key") & ~pl.col("by_aggregate") & ~pl.col("is_correction")
    ends = charge_groups.filter(pl.col("has_start") & pl.col("quantity_micros").is_not_null() & is_free)
    if starts.is_empty() or ends.is_empty():
        return pl.DataFrame(schema=_EDGE)
    columns = [*SPAN, *PARTY, "group_no", "start_us", "quantity_micros", "grouped_by_key", "match_ready_at"]
    start_difference = (pl.col("start_us") - pl.col("start_us_charge")).abs()
    quantity_difference = (pl.col("quantity_micros") - pl.col("quantity_micros_charge")).abs()
    near = quantity_difference <= pl.col("quantity_tolerance_micros")
    decided_at = [pl.when(f"grouped_by_key{end}").then(f"match_ready_at{end}").otherwise(0) for end in ("", "_charge")]
    undecided_until = pl.max_horizontal(decided_at)
    # Compare only units in the same or adjacent blocks of time, because a party may have many units.
    block = pl.col("start_us") // (starts["start_tolerance_us"].max() + 1)  # type: ignore[operator]
    starts = starts.select(*columns, "start_tolerance_us", "quantity_tolerance_micros", has_same_key="same_key", block=block)
    ends = ends.select(*columns, block=pl.concat_list(block - 1, block, block + 1)).explode("block")
    return (
        starts.join(ends, on=[*SPAN, *PARTY, "block"], suffix="_charge", nulls_equal=True)
        .filter((start_difference <= pl.col("start_tolerance_us")) & (near.fill_null(False) | (undecided_until > pl.col("at"))))
        .join(spans.select(*SPAN, "next_at"), on=SPAN)
        .sort(*SPAN, start_difference, quantity_difference, "group_no", "group_no_charge")
        .select(
            *SPAN, "next_at", session="group_no", charge_group="group_no_charge", undecided_until=undecided_until,
            ready_at=pl.max_horizontal("match_ready_at", "match_ready_at_charge"), near=near.fill_null(False),
            has_same_key="has_same_key",
        )
    )  # fmt: skip


def _settle_stable_edges(edges: pl.DataFrame, settled: SettledPairs) -> pl.DataFrame:
    """Settle, position by position, the match-ready edges that rank first at both ends; return the units blocked by others.

    Components do not influence each other, so in one step each of them advances to its own next position.
    """
    session, charge_group, undecided_until, ready_at = (
        edges[name].to_numpy() for name in ("session", "charge_group", "undecided_until", "ready_at")
    )
    near, has_same_key = edges["near"].to_numpy(), edges["has_same_key"].to_numpy()
    blocked = [pl.DataFrame(schema=_BLOCKED)]
    for edge, position, until in _walk_steps(edges):
        is_free = settled.are_apart(session[edge], charge_group[edge])
        is_free &= ~has_same_key[edge] | (settled.charge_group_since[session[edge]] != NEVER_POSITION)
        undecided = position < undecided_until[edge]
        is_edge = is_free & (undecided | near[edge])
        # Undecided edges rank before all others.
        ranked = np.concatenate([np.flatnonzero(is_edge & undecided), np.flatnonzero(is_edge & ~undecided)])
        while len(ranked):
            of_session, of_charge_group = session[edge[ranked]], charge_group[edge[ranked]]
            is_ready = ready_at[edge[ranked]] <= position[ranked]
            stable = ranked[_is_first_distinct(of_session) & _is_first_distinct(of_charge_group) & is_ready]
            if not len(stable):
                break
            settled.add(session[edge[stable]], charge_group[edge[stable]], position[stable])
            ranked = ranked[settled.are_apart(of_session, of_charge_group)]
        span = edges.select(SPAN)[edge[ranked]].with_columns(since=pl.Series(position[ranked]), until=pl.Series(until[ranked]))
        for charge, group_no in ((False, session), (True, charge_group)):
            ends = span.with_columns(group_no=pl.Series(group_no[edge[ranked]]), charge=pl.lit(charge))
            blocked.append(ends.select(*_BLOCKED))
    return pl.concat(blocked).unique()


def _walk_steps(edges: pl.DataFrame) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Yield, for each step, the row numbers of edges, the position at which each is examined, and the next one in its span.

    An edge changes at the position at which it is decided, and at the position at which it is ready. So all edges of a span are
    examined at its first position, and at these positions of each edge. The n-th step has the n-th such position of every
    component.
    """
    component, at, next_at = (edges[name].to_numpy() for name in ("component", "at", "next_at"))
    if not len(at):
        return
    first = np.flatnonzero(_compare_with_previous(component, at))
    count = np.diff(first, append=len(at))
    span_of_edge = np.repeat(np.arange(len(first)), count)
    span, position = np.tile(span_of_edge, 3), np.concatenate([at, *(edges[n].to_numpy() for n in ("undecided_until", "ready_at"))])
    inside = (at[first][span] <= position) & (position < next_at[first][span])
    order = np.lexsort((position[inside], span[inside]))
    span, position = span[inside][order], position[inside][order]
    fresh = _compare_with_previous(span, position)
    span, position = span[fresh], position[fresh]
    until = np.where(np.append(span[1:], -1) == span, np.append(position[1:], 0), next_at[first][span])
    starts = np.flatnonzero(_compare_with_previous(component[first][span]))
    step = np.arange(len(span)) - np.repeat(starts, np.diff(starts, append=len(span)))
    for rows in np.split(np.argsort(step, kind="stable"), np.cumsum(np.bincount(step))[:-1]):
        examined = count[span[rows]]
        ends = np.cumsum(examined)
        edge = np.arange(ends[-1]) + np.repeat(first[span[rows]] - (ends - examined), examined)
        yield edge, np.repeat(position[rows], examined), np.repeat(until[rows], examined)


def _compare_with_previous(*columns: Numbers) -> NDArray[np.bool_]:
    """Return which rows differ from the row before them in one of the columns; the first row does."""
    differs = np.zeros(len(columns[0]), dtype=np.bool_)
    differs[:1] = True
    for column in columns:
        differs[1:] |= column[1:] != column[:-1]
    return differs


def _is_first_distinct(numbers: Numbers) -> NDArray[np.bool_]:
    """Return which numbers occur for the first time."""
    is_first = np.zeros(len(numbers), dtype=np.bool_)
    is_first[np.unique(numbers, return_index=True)[1]] = True
    return is_first
