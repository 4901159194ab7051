"""Compute features of transactions over history or in partitions, with equal results.

Events are rows of `event_id`, `at_us` (microseconds since 1970), `position` (of the log), `is_label` and the columns the features
name. A transaction's features use only events whose position and time are not greater than its own. So late events never change the
features of earlier positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.fraud.features.feature_spec import Feature, FeatureError, FeatureSet, Ratio
from trueup.fraud.features.window import Bools, Column, Ints, Rows, Times, aggregate, extremes, in_order

HEAD = ("event_id", "at_us", "position", "is_label")
_ROWS_AT_ONCE = 4_000_000
THREADS = 2
_WHOLE = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)


def history(declared: FeatureSet, events: pl.DataFrame, *, requested: pl.Series | None = None) -> pl.DataFrame:
    """Return one row per transaction with `event_id` and `declared.names`, in the order of `events`.

    `requested` (truth values, one per event) limits the transactions returned; their windows still cover all events. Raises
    `FeatureError` for a missing column.

    A window of one hour counts the transaction itself and the subscriber's earlier ones within the hour:

    >>> hour_us = 3_600_000_000
    >>> events = pl.DataFrame({
    ...     "event_id": [1, 2, 3, 4], "at_us": [0, hour_us // 2, hour_us, hour_us], "position": [1, 1, 1, 1],
    ...     "is_label": [False] * 4, "subscriber": ["A", "A", "A", "B"], "seconds": [60, 30, 10, 5],
    ... })
    >>> declared = FeatureSet(("seconds",), (
    ...     Feature("calls_1h", ("subscriber",), hour_us, "count"),
    ...     Feature("seconds_1h", ("subscriber",), hour_us, "sum", "seconds"),
    ... ))
    >>> history(declared, events).rows()
    [(1, 60, 1, 60), (2, 30, 2, 90), (3, 10, 2, 40), (4, 5, 1, 5)]

    Call 1 is exactly one hour before call 3, so it has left that window. A record that arrives late (position 2) counts for later
    positions only, so the features of calls 1 to 4 do not change:

    >>> late = pl.DataFrame({"event_id": [5], "at_us": [1], "position": [2], "is_label": [False], "subscriber": ["A"],
    ...                      "seconds": [7]})
    >>> history(declared, pl.concat([events, late])).rows()
    [(1, 60, 1, 60), (2, 30, 2, 90), (3, 10, 2, 40), (4, 5, 1, 5), (5, 7, 2, 67)]
    """
    rows = _prepare(declared, events, requested)
    times = Times(rows["at_us"].to_numpy())
    numbers = Numbers(rows)
    # Entities can be computed in parallel: they are independent until their results are joined, and sorting releases the
    # interpreter lock.
    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(lambda e: _compute_entity(numbers, times, declared.of(e), e), declared.entities))
    return _combine_parts(declared, rows.filter(pl.col("result_row") >= 0), parts)


def in_partitions(declared: FeatureSet, events: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return the result of `history`, computed in `count` partitions per entity and joined by event id."""
    rows = _prepare(declared, events, None)
    parts = []
    for own in declared.per_entity:
        code = pl.Series(Numbers(rows).of_entity(own.entities[0]))
        share = pl.select(pl.when(code < 0).then(-1).otherwise(code % count)).to_series()
        parts.append(pl.concat([history(own, rows.filter(share == n)) for n in share.unique().to_list()]))
    return join_entity_features(declared, rows.filter(pl.col("result_row") >= 0), parts)


def join_entity_features(declared: FeatureSet, facts: pl.DataFrame, parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join the features of each entity (`declared.per_entity`) into one row per transaction.

    `facts` has one row per transaction with its own columns; each part has at most one row per `event_id`.
    """
    features = facts.select("event_id", *declared.own)
    for part in parts:
        features = features.join(part, on="event_id", how="left", maintain_order="left")
    return features.select("event_id", *_select_shown(declared))


def _select_shown(declared: FeatureSet) -> list[pl.Expr]:
    ratios = {r.name: _divide_terms(r) for r in declared.ratios}
    return [ratios.get(n, pl.col(n)).alias(n) for n in declared.names]


def _divide_terms(ratio: Ratio) -> pl.Expr:
    under = _weigh_terms(ratio.under) if ratio.under else pl.lit(1, pl.Int64)
    return pl.when(under != 0).then(_weigh_terms(ratio.over).cast(pl.Float64) / under.cast(pl.Float64))


def _weigh_terms(terms: Sequence[tuple[str, int]]) -> pl.Expr:
    return pl.sum_horizontal([pl.col(c).cast(pl.Int64) * w for c, w in terms], ignore_nulls=False)


def _prepare(declared: FeatureSet, events: pl.DataFrame, requested: pl.Series | None) -> pl.DataFrame:
    """Return each event once with the columns needed, and as `result_row` its row in the result, −1 for none."""
    for name in (*HEAD, *declared.columns):
        if name not in events.columns:
            raise FeatureError(
                f"the events have no column {name!r}", todo="give events with this column, or declare other features"
            )
    is_requested = ~pl.col("is_label") if requested is None else ~pl.col("is_label") & requested
    rows = events.select(*HEAD, *(c for c in declared.columns if c not in HEAD), is_requested=is_requested)
    transactions = rows.filter(~pl.col("is_label"))
    if transactions["event_id"].n_unique() != transactions.height:
        # The same event may be delivered twice; its first position counts.
        is_requested = pl.col("is_requested").any().over("event_id")
        once = transactions.with_columns(is_requested).with_row_index("row_no").sort("position", maintain_order=True)
        once = once.unique("event_id", keep="first", maintain_order=True).sort("row_no").drop("row_no")
        rows = pl.concat([once, rows.filter("is_label")])
    return rows.with_columns(
        result_row=pl.when("is_requested").then(pl.col("is_requested").cum_sum().cast(pl.Int64) - 1).otherwise(-1)
    )


class Numbers:
    """Columns encoded as integers, each computed once."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self._encoded: dict[str, pl.Series] = {}
        self._lock = Lock()

    def _number_column(self, name: str) -> pl.Series:
        with self._lock:
            if name not in self._encoded:
                self._encoded[name] = _number_values(self.rows[name])
            return self._encoded[name]

    def of_entity(self, entity: Sequence[str]) -> Ints:
        """Return a number for each entity value, −1 where a part of it is missing."""
        code = self._number_column(entity[0])
        for column in entity[1:]:
            part = self._number_column(column)
            combined = pl.when((code >= 0) & (part >= 0)).then(code * (_find_most(part) + 1) + part)
            code = _number_values(pl.select(combined).to_series())
        numbers: Ints = code.to_numpy()
        return numbers

    def of_column(self, name: str) -> Column:
        """Return the values of a column of integers or truth values; for any other column, return a number per distinct value.

        Raises `FeatureError` for a column of floats.
        """
        series = self.rows[name]
        is_present = series.is_not_null().to_numpy()
        if series.dtype == pl.Boolean or series.dtype in _WHOLE:
            return Column(series.cast(pl.Int64).fill_null(0).to_numpy(), is_present)
        if series.dtype.is_float():
            raise FeatureError(
                f"the column {name!r} holds fractions, whose sums depend on their order", todo="give it as whole millionths"
            )
        return Column(self._number_column(name).to_numpy(), is_present)


def _number_values(values: pl.Series) -> pl.Series:
    """Return equal numbers for equal values, from 0 up; −1 for a missing one."""
    if values.dtype in _WHOLE and values.len():
        numbers = values.cast(pl.Int64)
        least = numbers.min()
        if isinstance(least, int) and _find_most(numbers) - least < 4 * values.len():
            return (numbers - least).fill_null(-1)
    if values.dtype == pl.String:
        # The numbers of texts are local to this column and never leave this module.
        return values.cast(pl.Categorical(pl.Categories.random())).to_physical().cast(pl.Int64).fill_null(-1)
    different = values.unique().drop_nulls().to_frame("value").with_row_index("number")
    codes = values.to_frame("value").join(different, on="value", how="left", maintain_order="left")
    return codes["number"].cast(pl.Int64).fill_null(-1)


def _find_most(numbers: pl.Series) -> int:
    most = numbers.max()
    return most if isinstance(most, int) else 0


FeatureColumns = dict[str, Column]


def _compute_entity(
    numbers: Numbers, times: Times, features: Sequence[Feature], entity: Sequence[str]
) -> tuple[FeatureColumns, Ints]:
    """Compute the features of one entity, and the result row of each value."""
    prepared = numbers.rows
    code, result_row = numbers.of_entity(entity), prepared["result_row"].to_numpy()
    order = _order_rows(prepared, times, code, result_row)
    names = dict.fromkeys(c for f in features for c in (f.of, f.where) if c is not None)
    encoded = {n: numbers.of_column(n) for n in names}
    columns = {n: c.take(order) for n, c in encoded.items()}
    rows = Rows(times, code[order], times.rank[order], prepared["is_label"].to_numpy()[order], columns)
    # A label counts from its time on, regardless of its position.
    position = np.where(rows.is_label, -1, prepared["position"].to_numpy()[order])
    columns_by_name = {f.name: aggregate(rows, f) for f in features}
    is_requested = result_row[order] >= 0
    window_us = max(f.window_us for f in features)
    for part, members, at in _copy_late_windows(
        rows, position, _has_later_positions(rows, position, is_requested, window_us), window_us
    ):
        for f in features:
            column = aggregate(part, f)
            columns_by_name[f.name].values[at] = column.values[members]
            columns_by_name[f.name].is_present[at] = column.is_present[members]
    requested = np.flatnonzero(is_requested)
    if len(requested) == len(order):
        return columns_by_name, result_row[order]
    return {name: c.take(requested) for name, c in columns_by_name.items()}, result_row[order][requested]


def _order_rows(prepared: pl.DataFrame, times: Times, code: Ints, result_row: Ints) -> NDArray[np.intp]:
    """Order the rows of requested entities by entity and time, labels before transactions, then by event id."""
    is_needed = np.zeros(_find_most(pl.Series(code)) + 2, dtype=np.bool_)
    is_needed[code[result_row >= 0]] = True
    is_needed[-1] = False
    order = np.flatnonzero(is_needed[code])
    order = order[in_order(code[order], times.rank[order])]
    key = code[order] * times.width + times.rank[order]
    is_tied = key[1:] == key[:-1]
    if is_tied.any():
        # Event ids order only the few rows of one entity at one time, so only those rows are sorted by id.
        tied = np.flatnonzero(np.append(is_tied, False) | np.append(False, is_tied))
        ties = prepared.select(later=~pl.col("is_label"), event_id="event_id")[order[tied]]
        ties = ties.with_columns(key=pl.Series(key[tied]), row=pl.Series(order[tied]))
        order[tied] = ties.sort("key", "later", "event_id")["row"].to_numpy()
    return order


def _has_later_positions(rows: Rows, position: Ints, is_requested: Bools, window_us: int) -> Bools:
    """Return the requested rows whose window holds an event of a later position."""
    if not len(rows):
        return is_requested
    width = int(position.max()) + 2
    key = rows.code * width + position + 1
    suspects: Bools = (np.maximum.accumulate(key) > key) & is_requested
    if suspects.any():
        suspects &= extremes(position, rows.first(window_us), largest=True) > position
    return suspects


def _copy_late_windows(
    rows: Rows, position: Ints, late: Bools, window_us: int
) -> Iterator[tuple[Rows, NDArray[np.intp], NDArray[np.intp]]]:
    """Yield copies of the windows of `late` rows, without events of later positions: one group per entity and position.

    Each item has the copied rows, a mask of the late rows among them, and the row numbers of the late rows in `rows`.
    """
    late_rows = np.flatnonzero(late)
    if not len(late_rows):
        return
    order = late_rows[np.lexsort((late_rows, position[late_rows], rows.code[late_rows]))]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (rows.code[order[1:]] != rows.code[order[:-1]]) | (position[order[1:]] != position[order[:-1]])
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(order))
    # Rows of a group are in ascending order, and so are the beginnings of their windows.
    low, high = rows.first(window_us)[order[begins]], order[ends - 1] + 1
    sizes = np.cumsum(high - low)
    chunk = (sizes - 1) // _ROWS_AT_ONCE
    for number in np.unique(chunk):
        groups = np.flatnonzero(chunk == number)
        yield _copy_rows(rows, position, [(int(low[g]), int(high[g]), order[begins[g] : ends[g]]) for g in groups])


def _copy_rows(
    rows: Rows, position: Ints, groups: list[tuple[int, int, NDArray[np.intp]]]
) -> tuple[Rows, NDArray[np.intp], NDArray[np.intp]]:
    width = np.array([high - low for low, high, _ in groups])
    group = np.repeat(np.arange(len(groups)), width)
    starts = np.concatenate([[0], np.cumsum(width)[:-1]])
    source = np.arange(width.sum()) - starts[group] + np.array([low for low, _, _ in groups])[group]
    upto = np.array([position[members[0]] for _, _, members in groups])
    seen = position[source] <= upto[group]
    kept_before = np.concatenate([[0], np.cumsum(seen)])
    members = np.concatenate([kept_before[start + m - low] for start, (low, _, m) in zip(starts, groups, strict=True)])
    source, group = source[seen], group[seen]
    part = Rows(
        rows.times, group.astype(np.int64), rows.rank[source], rows.is_label[source],
        {n: Column(c.values[source], c.is_present[source]) for n, c in rows.columns.items()},
    )  # fmt: skip
    return part, members, np.concatenate([m for _, _, m in groups])


def _combine_parts(declared: FeatureSet, facts: pl.DataFrame, parts: Sequence[tuple[FeatureColumns, Ints]]) -> pl.DataFrame:
    columns = [facts["event_id"], *(facts[n] for n in declared.own)]
    for values_by_name, row in parts:
        for name, column in values_by_name.items():
            values = np.zeros(facts.height, dtype=np.int64)
            is_present = np.zeros(facts.height, dtype=np.bool_)
            values[row], is_present[row] = column.values, column.is_present
            series = pl.Series(name, values)
            columns.append(series if is_present.all() else series.set(~pl.Series(is_present), None))
    return pl.DataFrame(columns).select("event_id", *_select_shown(declared))
