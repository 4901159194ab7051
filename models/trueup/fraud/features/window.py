"""Compute aggregates over sliding windows in a few passes over whole integer columns.

Rows are ordered by entity, then time, then track and event id. So the window of row i is a slice of rows that ends with i. Counts
and sums are differences of running totals, without a loop over rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trueup.fraud.features.feature_spec import Feature, FeatureError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Column:
    """Integers, with a mask of those that are present."""

    values: Ints
    is_present: Bools

    def take(self, rows: NDArray[np.intp]) -> Column:
        """Return the values of the given rows."""
        # Most columns are complete, and a check for that is quicker than gathering the mask.
        is_present = np.ones(len(rows), dtype=np.bool_) if self.is_present.all() else self.is_present.take(rows)
        return Column(self.values.take(rows), is_present)


class Times:
    """The distinct times in order. Ranks replace times, so that entity and time together fit one integer."""

    def __init__(self, at_us: Ints) -> None:
        self.times, self.rank = np.unique(at_us, return_inverse=True)
        self.width = len(self.times) + 1
        self._begin: dict[int, NDArray[np.intp]] = {}

    def begin(self, window_us: int) -> NDArray[np.intp]:
        """Return, for each time, the rank of the first one in its window."""
        if window_us not in self._begin:
            self._begin[window_us] = np.searchsorted(self.times, self.times - window_us, side="right")
        return self._begin[window_us]


@dataclass
class Rows:
    """Rows of one entity grouping, in order: a code for each entity value, ranks of times, and which rows are labels."""

    times: Times
    code: Ints
    rank: Ints
    is_label: Bools
    columns: dict[str, Column]

    def __post_init__(self) -> None:
        self._first: dict[int, NDArray[np.intp]] = {}
        self._leaves: dict[int, Ints] = {}
        self._masks: dict[tuple[str | None, str, str | None], Bools] = {}
        self._runs: dict[tuple[str | None, str, str | None], Ints] = {}
        self._neighbours: dict[tuple[str | None, str, str | None], tuple[NDArray[np.intp], NDArray[np.intp]]] = {}

    def __len__(self) -> int:
        return len(self.code)

    @cached_property
    def at_us(self) -> Ints:
        """Return the time of each row, in microseconds since 1970."""
        at: Ints = self.times.times[self.rank]
        return at

    @cached_property
    def sort_key(self) -> Ints:
        """Return entity and time as one number, which is ascending."""
        key: Ints = self.code * self.times.width + self.rank
        return key

    def first(self, window_us: int) -> NDArray[np.intp]:
        """Return the first row of each row's window (t − window, t]."""
        if window_us not in self._first:
            begin_key = self.code * self.times.width + self.times.begin(window_us)[self.rank]
            self._first[window_us] = np.searchsorted(self.sort_key, begin_key, side="left")
        return self._first[window_us]

    def leaves(self, window_us: int) -> Ints:
        """Return, for each row, the first row whose window begins after it; window beginnings are ascending."""
        if window_us not in self._leaves:
            self._leaves[window_us] = np.cumsum(np.bincount(self.first(window_us), minlength=len(self)))
        return self._leaves[window_us]

    def counted(self, feature: Feature) -> Bools:
        """Return the rows that a feature counts: rows of its track for which the filter is true and the column has a value."""
        key = _find_key(feature)
        if key not in self._masks:
            mask: Bools = self.is_label if feature.track == "label" else ~self.is_label
            if feature.where is not None:
                condition = self.columns[feature.where]
                mask = mask & condition.is_present & (condition.values != 0)
            if feature.of is not None:
                mask = mask & self.columns[feature.of].is_present
            self._masks[key] = mask
        return self._masks[key]

    def counts(self, feature: Feature) -> Ints:
        """Return the number of rows that a feature counts before each row, and in total."""
        key = _find_key(feature)
        if key not in self._runs:
            self._runs[key] = _sum_running(self.counted(feature).astype(np.int64))
        return self._runs[key]

    def neighbours(self, feature: Feature, mask: Bools) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return, for each counted row, the previous and next counted row of the same entity and value; −1 and len for none."""
        assert feature.of is not None
        key = _find_key(feature)
        if key not in self._neighbours:
            self._neighbours[key] = _find_neighbours(self.code, self.columns[feature.of].values, mask)
        return self._neighbours[key]


def _find_key(feature: Feature) -> tuple[str | None, str, str | None]:
    return feature.of, feature.track, feature.where


def _find_neighbours(code: Ints, values: Ints, mask: Bools) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows = np.flatnonzero(mask)
    ordered = rows[in_order(code[rows], values[rows])]
    same = (code[ordered[1:]] == code[ordered[:-1]]) & (values[ordered[1:]] == values[ordered[:-1]])
    before = np.full(len(code), -1, dtype=np.intp)
    after = np.full(len(code), len(code), dtype=np.intp)
    before[ordered[1:][same]] = ordered[:-1][same]
    after[ordered[:-1][same]] = ordered[1:][same]
    return before, after


def in_order(major: Ints, minor: Ints) -> NDArray[np.intp]:
    """Return the stable sort order of rows by two integer columns, the first one first."""
    if not len(major):
        return np.zeros(0, dtype=np.intp)
    low, high = int(minor.min()), int(minor.max())
    least, width, size = int(major.min()), high - low + 1, len(major)
    if (int(major.max()) - least + 1) * width * size >= 2**62:
        by_both: NDArray[np.intp] = np.lexsort((minor, major))
        return by_both
    # Combine keys and row number in one integer, because sorting integers is much quicker than sorting by two keys.
    combined = ((major - least) * width + (minor - low)) * size + np.arange(size)
    combined.sort()
    order: NDArray[np.intp] = combined % size
    return order


def aggregate(rows: Rows, feature: Feature) -> Column:
    """Return the value of one feature at every row.

    Raises `FeatureError` for a sum that does not fit 64 bits.
    """
    mask, first = rows.counted(feature), rows.first(feature.window_us)
    match feature.aggregate:
        case "count":
            return _build_complete(_subtract_before(rows.counts(feature), first))
        case "sum":
            return _build_complete(_subtract_before(_sum_running(_select_summands(rows, feature, mask)), first))
        case "distinct":
            return _build_complete(_count_distinct(rows, feature, mask, first))
        case "min" | "max":
            return _find_extreme(rows, feature, mask, first)
        case "since_first" | "since_last":
            return _measure_since(rows, feature, first, last=feature.aggregate == "since_last")
        case "open":
            return _build_complete(_count_open(rows, feature, mask))


def _build_complete(values: Ints) -> Column:
    return Column(values, np.ones(len(values), dtype=np.bool_))


def _sum_running(values: Ints) -> Ints:
    total = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=total[1:])
    return total


def _subtract_before(running: Ints, first: NDArray[np.intp]) -> Ints:
    differences: Ints = running[1:] - running[first]
    return differences


def _select_summands(rows: Rows, feature: Feature, mask: Bools) -> Ints:
    """Return the values to add up; raises `FeatureError` where the sum of a window could leave 64 bits."""
    assert feature.of is not None
    values = np.where(mask, rows.columns[feature.of].values, 0)
    # Running totals may overflow without changing their differences; only the sum of a window must fit.
    if len(values) and float(np.abs(values.astype(np.float64)).max()) * len(values) >= 2.0**62:
        windows = _subtract_before(
            np.concatenate([[0.0], np.cumsum(np.abs(values.astype(np.float64)))]), rows.first(feature.window_us)
        )
        if float(windows.max()) >= 2.0**62:
            raise FeatureError(f"a sum of {feature.of} does not fit 64 bits", where=feature.name, todo="use a coarser unit")
    return values


def _count_distinct(rows: Rows, feature: Feature, mask: Bools, first: NDArray[np.intp]) -> Ints:
    """Count the different values in each window.

    A value enters at a row whose previous equal row is outside the window. It leaves when its last row leaves the window.
    """
    before, after = rows.neighbours(feature, mask)
    size = len(rows)
    enters = mask & (before < first)
    leaves_at = rows.leaves(feature.window_us)
    leaves = mask & (after >= leaves_at) & (leaves_at < size)
    change = enters.astype(np.int64)
    change -= np.bincount(leaves_at[leaves], minlength=size)[:size]
    return np.cumsum(change)


def _find_extreme(rows: Rows, feature: Feature, mask: Bools, first: NDArray[np.intp]) -> Column:
    assert feature.of is not None
    values = rows.columns[feature.of].values
    largest = feature.aggregate == "max"
    nothing = np.iinfo(np.int64).min if largest else np.iinfo(np.int64).max
    values_in_window = extremes(np.where(mask, values, nothing), first, largest=largest)
    return Column(values_in_window, _subtract_before(rows.counts(feature), first) > 0)


def extremes(values: Ints, first: NDArray[np.intp], *, largest: bool) -> Ints:
    """Return the extreme of each slice [first, row], from the extremes of blocks of 1, 2, 4, … rows."""
    pick = np.maximum if largest else np.minimum
    row = np.arange(len(values))
    length = row - first + 1
    result = values.copy()
    block, size = values.copy(), 1
    while True:
        fitting = np.flatnonzero((length >= size) & (length < 2 * size))
        result[fitting] = pick(block[row[fitting]], block[first[fitting] + size - 1])
        if not (length >= 2 * size).any():
            return result
        longer = block.copy()
        pick(block[size:], block[:-size], out=longer[size:])
        block, size = longer, 2 * size


def _measure_since(rows: Rows, feature: Feature, first: NDArray[np.intp], *, last: bool) -> Column:
    at, running = np.flatnonzero(rows.counted(feature)), rows.counts(feature)
    if last:
        index, is_present = running[:-1] - 1, running[:-1] > running[first]
    else:
        index, is_present = running[first], running[1:] > running[first]
    if not len(at):
        return Column(np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.bool_))
    return Column(rows.at_us - rows.at_us[at[np.clip(index, 0, len(at) - 1)]], is_present)


def _count_open(rows: Rows, feature: Feature, mask: Bools) -> Ints:
    """Count the sessions that began before a row and have not ended by its time; one longer than the window counts as ended."""
    assert feature.of is not None
    until = np.minimum(rows.columns[feature.of].values, rows.at_us + feature.window_us)
    mask = mask & (until > rows.at_us)
    # Combine entity and end in one integer, by the ranks of the rows' times. An end between two times gets the rank of the later
    # one.
    ends = np.sort(rows.code[mask] * rows.times.width + np.searchsorted(rows.times.times, until[mask], side="left"))
    begun, ended = _sum_running(mask.astype(np.int64))[:-1], np.searchsorted(ends, rows.sort_key, side="right")
    begun_before = begun[np.searchsorted(rows.code, rows.code, side="left")]
    ended_before = np.searchsorted(ends, rows.code * rows.times.width, side="left")
    open_sessions: Ints = (begun - begun_before) - (ended - ended_before)
    return open_sessions
