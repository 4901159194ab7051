"""Candidates for the fast path: one pass over all records finds sessions, neighbours, and the positions at which streams passed.

This pass compares hashes; true keys are compared before a pair is taken. A hash collision only sends more records through all
steps.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.policies.policy import NEVER_POSITION, UNKNOWN_TIME_US, Policies
from trueup.reconcile.blocking.neighbourhood import party_time_pairs
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.record_hashes import Hashes, is_duplicated, record_hashes, session_hashes
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.sessions.grouping import PARTY

_HASH_BITS = 64
Rows = NDArray[np.int64]
"""Row numbers."""


@dataclass(frozen=True)
class Candidates:
    """All rows, with the results of one pass over them.

    `rule_index` is the index of each row's rule in the frame of policies. `has_neighbour` marks rows with a neighbour. `single` has
    the numbers of rows that are the only one of their session. `usage` and `charge` are the row numbers of sessions with one record
    on each side.
    """

    rows: pl.DataFrame
    frontier: Frontier
    is_charge: NDArray[np.bool_]
    rule_index: NDArray[np.int64]
    has_neighbour: NDArray[np.bool_]
    single: NDArray[np.int64]
    usage: NDArray[np.int64]
    charge: NDArray[np.int64]

    @classmethod
    def of(cls, events: pl.DataFrame, frontier: Frontier) -> Candidates:
        """Find the candidates among all events."""
        rows = events.with_row_index("row")
        keyed, is_charge = rows["session_key"].is_not_null().to_numpy(), rows["charge"].to_numpy()
        record = record_hashes(rows)
        # A record without a session key is a session of its own.
        session = np.where(keyed, session_hashes(rows), record)
        last_policy = len(frontier.policies.all) - 1
        rule_index = frontier.policies.rule_index(last_policy, rows["rule"].to_numpy())
        is_complete = _is_complete(rows, frontier.policies, rule_index) & ~is_duplicated(record)
        order, ascending = _sort_rows(session)
        begin, count, charge_counts = _find_runs(ascending, is_charge[order])
        single = order[begin[count == 1]]
        two = begin[(count == 2) & (charge_counts == 1)]
        usage, charges_of = _order_pairs(*_divide_by_stream(order[two], order[two + 1], is_charge), len(order))
        both_complete = is_complete[usage] & is_complete[charges_of] & keyed[usage] & keyed[charges_of]
        several_records = np.zeros(len(order), dtype=np.bool_)
        several_records[order] = np.repeat((charge_counts > 1) | (count - charge_counts > 1), count)
        has_neighbour = _has_neighbour(rows, frontier, rule_index, session, several_records)
        return cls(
            rows,
            frontier,
            is_charge,
            rule_index,
            has_neighbour,
            single[is_complete[single]],
            usage[both_complete],
            charges_of[both_complete],
        )

    def rule(self, name: str, rows: Rows) -> NDArray[Any]:
        """Return a column of each row's rule under the latest policy."""
        column: NDArray[Any] = self.frontier.policies.frame[name].to_numpy()[self.rule_index[rows]]
        return column

    @cached_property
    def under_last(self) -> NDArray[np.bool_]:
        """Mask of the rows that arrived under the latest policy."""
        policies = self.frontier.policies
        under: NDArray[np.bool_] = policies.number_at(self.position) == len(policies.all) - 1
        return under

    @cached_property
    def time_us(self) -> NDArray[np.int64]:
        """The time of each row; `UNKNOWN_TIME_US` without one."""
        return self.column("time_us").fill_null(UNKNOWN_TIME_US).to_numpy()

    @cached_property
    def position(self) -> NDArray[np.int64]:
        """The position of each row."""
        return self.column("position").to_numpy()

    def beyond_horizon(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which rows were beyond the horizon when they arrived."""
        horizon = self.frontier.policies.all[-1].horizon_us
        beyond: NDArray[np.bool_] = self._find_passing(rows, horizon, horizon, of_other=False) < self.position[rows]
        return beyond

    def other_passed_at(self, rows: Rows) -> NDArray[np.int64]:
        """Return the position at which the other stream passes each row's time plus grace."""
        return self._find_passing(rows, self.rule("grace_us", rows), self.rule("closed_wait_us", rows), of_other=True)

    def own_passed_at(self, rows: Rows) -> NDArray[np.int64]:
        """Return the position at which each row's own stream passes the row's time."""
        return self._find_passing(rows, 0, 0, of_other=False)

    def _find_passing(
        self, rows: Rows, wait_us: NDArray[np.int64] | int, closed_wait_us: NDArray[np.int64] | int, *, of_other: bool
    ) -> NDArray[np.int64]:
        """Return the position at which a stream passes each row's time plus a wait, under the latest policy."""
        is_charge, time_us = self.is_charge[rows], self.time_us[rows]
        stream = ~is_charge if of_other else is_charge
        if not len(rows):
            return np.empty(0, dtype=np.int64)
        policy = np.full(len(rows), len(self.frontier.policies.all) - 1)
        wait, closed_wait = (np.broadcast_to(np.asarray(w, dtype=np.int64), len(rows)) for w in (wait_us, closed_wait_us))
        # If a stream has not passed the earliest time plus the shortest wait, it has passed no row. For most logs this one test
        # suffices.
        first, shortest, shortest_closed = (np.repeat(column.min(), 2) for column in (time_us, wait, closed_wait))
        both = np.array([False, True])
        if (self.frontier.passed_at(both, first, shortest, shortest_closed, policy[[0, 0]]) == NEVER_POSITION).all():
            return np.full(len(rows), NEVER_POSITION, dtype=np.int64)
        return self.frontier.passed_at(stream, time_us, wait, closed_wait, policy)

    def unchanged(self, rows: Rows, since: Rows, terms: Terms) -> NDArray[np.bool_]:
        """Return whether the price of each row is unchanged since another row arrived."""
        if terms.changes.is_empty():
            return np.ones(len(rows), dtype=np.bool_)
        changed = terms.last_change_position(self.columns_of(rows, ["subscriber", "time_us", "quantity_micros"])).to_numpy()
        unchanged: NDArray[np.bool_] = changed <= self.position[since]
        return unchanged

    def column(self, name: str) -> pl.Series:
        """Return a column of all rows in one piece of memory, from which rows are gathered quickly."""
        if name not in self._columns:
            self._columns[name] = self.rows[name].rechunk()
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, pl.Series]:
        return {}

    def columns_of(self, rows: Rows, names: list[str]) -> pl.DataFrame:
        """Return columns of the rows with these numbers."""
        numbers = pl.Series(rows, dtype=pl.UInt32)
        return pl.DataFrame([self.column(name).gather(numbers) for name in names])

    def few(self, rows: Rows, names: list[str]) -> pl.DataFrame:
        """Return columns of a few rows, without first copying whole columns into one piece of memory."""
        selected = np.zeros(self.rows.height, dtype=np.bool_)
        selected[rows] = True
        places = np.searchsorted(np.flatnonzero(selected), rows)
        return self.rows.select(names).filter(pl.Series(selected))[places]


def _hash(*names: str) -> pl.Expr:
    """Return a hash over columns: equal rows have equal hashes, unequal rows almost never."""
    return reduce(operator.xor, (pl.col(name).hash(seed) for seed, name in enumerate(names, start=1)))


def _sort_rows(numbers: Hashes) -> tuple[Rows, Hashes]:
    """Return row numbers, ordered by the upper bits of `numbers`, and these bits.

    Each row number replaces the lower bits of its hash, so one sort of integers gives both. Sorting row numbers by hash would take
    five times as long. Two hashes with equal upper bits count as one, which only sends a few more records through all steps.
    """
    row_bits = np.uint64(len(numbers).bit_length())
    packed = numbers >> row_bits << row_bits
    packed |= np.arange(len(numbers), dtype=np.uint64)
    packed.sort()
    rows = (packed & ((np.uint64(1) << row_bits) - np.uint64(1))).view(np.int64)
    packed >>= row_bits
    return rows, packed


def _find_runs(ascending: Hashes, charge: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return where runs of one hash begin, how many rows each has, and how many of them are charges."""
    begin = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
    return begin, np.diff(begin, append=len(ascending)), np.add.reduceat(charge, begin, dtype=np.int64)


def _divide_by_stream(first: Rows, second: Rows, is_charge: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Return the usage records and the charges of pairs of one record of each stream."""
    is_first = is_charge[first]
    return np.where(is_first, second, first), np.where(is_first, first, second)


def _order_pairs(usage: Rows, charges: Rows, height: int) -> tuple[Rows, Rows]:
    """Return pairs in the order of their usage records, so that memory is read in one direction."""
    charge_of = np.full(height, -1, dtype=np.int64)
    charge_of[usage] = charges
    ordered = np.flatnonzero(charge_of >= 0)
    return ordered, charge_of[ordered]


def _is_complete(rows: pl.DataFrame, policies: Policies, rule_index: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows are complete on arrival under the latest policy: no further part, line or counter can belong to them.

    Records that a charge may correct are not complete: all records of its scope go through all steps. Moved rows are not records,
    so they are not complete either.
    """
    is_line = pl.col("charge") & policies.in_bill_lines(pl.lit(len(policies.all) - 1))
    in_part: NDArray[np.bool_] = rows.select(is_line | pl.col("partial_no").is_not_null()).to_series().to_numpy()
    is_counter: NDArray[np.bool_] = (policies.frame["parts"] != "sum").to_numpy()[rule_index] & ~rows["charge"].to_numpy()
    complete: NDArray[np.bool_] = ~in_part & ~is_counter
    if rows["delivered_scope"].null_count() < rows.height:
        complete &= rows["delivered_scope"].is_null().to_numpy()
    if rows["corrected_key"].null_count() < rows.height:
        scopes = rows.filter(pl.col("corrected_key").is_not_null())["scope"].unique()
        complete &= ~rows["scope"].is_in(scopes.implode()).to_numpy()
    return complete


def _has_neighbour(
    rows: pl.DataFrame, frontier: Frontier, rule_index: NDArray[np.int64], session: Hashes, several_records: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which rows are within the start tolerance of another session of their party, for services with nearest matches."""
    neighbours = np.zeros(rows.height, dtype=np.bool_)
    by_nearest, tolerance_us = (frontier.policies.frame[n].to_numpy() for n in ("by_nearest", "start_tolerance_us"))
    if not by_nearest[rule_index].any():
        return neighbours
    entries = rows.select("row", "charge", "time_us", *PARTY, "rule").with_columns(
        session=pl.Series(session), by_nearest=pl.Series(by_nearest[rule_index]), tolerance_us=pl.Series(tolerance_us[rule_index])
    )  # fmt: skip
    further = _list_party_times(entries.filter(pl.Series(several_records)))
    # Hash the text before rows are filtered, so that no text is copied.
    places = pl.concat([frame.select(
        "row", "time_us", "session", "tolerance_us", "by_nearest", party=_hash(*PARTY)
    ).filter(pl.col("by_nearest") & pl.col("time_us").is_not_null()) for frame in (entries, further)])  # fmt: skip
    neighbour_rows = places["row"].filter(pl.Series(_mark_neighbours(places))).drop_nulls()
    neighbours[neighbour_rows.to_numpy()] = True
    return neighbours


def _mark_neighbours(places: pl.DataFrame) -> NDArray[np.bool_]:
    """Return which rows (`party`, `time_us`, `session`, `tolerance_us`) are within the tolerance of another session of their party.

    A party has one service and so one tolerance; rows are compared only with rows of the same tolerance.
    """
    party, time_us, session, tolerance_us = (places[n].to_numpy() for n in ("party", "time_us", "session", "tolerance_us"))
    if not len(party):
        return np.zeros(0, dtype=np.bool_)
    if tolerance_us.min() == tolerance_us.max():
        return _is_near_another_session(party, time_us, session, int(tolerance_us[0]))
    neighbours = np.zeros(len(party), dtype=np.bool_)
    for tolerance in np.unique(tolerance_us):
        rows = tolerance_us == tolerance
        neighbours[rows] = _is_near_another_session(party[rows], time_us[rows], session[rows], int(tolerance))
    return neighbours


def _is_near_another_session(party: Hashes, time_us: NDArray[np.int64], session: Hashes, tolerance_us: int) -> NDArray[np.bool_]:
    """Return which rows are within a tolerance of another session of their party.

    Rows are sorted by one number, which is much quicker than sorting by two. The upper half of the number is from the party's hash,
    the lower half is the time. The distance of two rows is the difference of their numbers. Parties with equal upper halves count
    as one, and times are compared in whole units. Both rules only send a few more rows through all steps.
    """
    row_bits = len(party).bit_length()
    time_bits = (_HASH_BITS - row_bits) // 2
    since_us = (time_us - time_us.min()).view(np.uint64)
    unit_us = int(since_us.max() >> np.uint64(time_bits)) + 1
    times = since_us if unit_us == 1 else since_us // np.uint64(unit_us)
    above_time = np.uint64(row_bits + time_bits)
    order, ascending = _sort_rows((party >> above_time << above_time) | (times << np.uint64(row_bits)))
    # Rounding to whole units can add one unit to the distance of two times.
    units = min(tolerance_us // unit_us + (unit_us > 1), 2**time_bits - 1)
    session_in_order = session[order]
    near = (ascending[1:] - ascending[:-1] <= np.uint64(units)) & (session_in_order[1:] != session_in_order[:-1])
    places = np.flatnonzero(near)
    neighbours = np.zeros(len(party), dtype=np.bool_)
    neighbours[order[places]] = True
    neighbours[order[places + 1]] = True
    return neighbours


def _list_party_times(entries: pl.DataFrame) -> pl.DataFrame:
    """Return further entries, without a row, for sessions and charge groups of several parties (see `neighbourhood`)."""
    pairs = party_time_pairs(entries.drop("row"), unit=["session", "charge"], party=["rule", *PARTY], times=["time_us"])
    return pairs.with_columns(row=pl.lit(None, entries.schema["row"])).select(entries.columns)
