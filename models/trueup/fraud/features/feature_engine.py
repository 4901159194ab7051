"""Features of transactions over history, in partitions, and step by step, with equal results.

Events are rows of `event_id`, `at_us` (microseconds since 1970), `position` (of the log), `is_label` and the columns the features
name. A transaction's features use what came with positions up to its own and is not later than it. Late events therefore never
change what was said of earlier ones.
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


def history(declared: FeatureSet, events: pl.DataFrame, *, wanted: pl.Series | None = None) -> pl.DataFrame:
    """Features of every transaction of a history: one row each with `event_id` and `declared.names`, in the order of `events`.

    `wanted` (truth values, one per event) limits whose features are told; all events are looked at for them.
    """
    rows = _prepared(declared, events, wanted)
    times = Times(rows["at_us"].to_numpy())
    numbers = Numbers(rows)
    # Entities do not meet before their answers do, and sorting lets other threads run.
    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(lambda e: _of_entity(numbers, times, declared.of(e), e), declared.entities))
    return _assembled(declared, rows.filter(pl.col("told_row") >= 0), parts)


def in_partitions(declared: FeatureSet, events: pl.DataFrame, count: int) -> pl.DataFrame:
    """The same as `history`, each entity's values divided among `count` partitions of their own, and joined by event id."""
    rows = _prepared(declared, events, None)
    parts = []
    for alone in declared.apart:
        code = pl.Series(Numbers(rows).of_entity(alone.entities[0]))
        share = pl.select(pl.when(code < 0).then(-1).otherwise(code % count)).to_series()
        parts.append(pl.concat([history(alone, rows.filter(share == n)) for n in share.unique().to_list()]))
    return joined(declared, rows.filter(pl.col("told_row") >= 0), parts)


def joined(declared: FeatureSet, told: pl.DataFrame, parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Features of `declared` from those of its entities (`declared.apart`), each computed where that entity is at home.

    `told` are the transactions, with their own columns; a part holds each of them once, with its `event_id`.
    """
    whole = told.select("event_id", *declared.own)
    for part in parts:
        whole = whole.join(part, on="event_id", how="left", maintain_order="left")
    return whole.select("event_id", *_shown(declared))


def _shown(declared: FeatureSet) -> list[pl.Expr]:
    ratios = {r.name: _quotient(r) for r in declared.ratios}
    return [ratios.get(n, pl.col(n)).alias(n) for n in declared.names]


def _quotient(one: Ratio) -> pl.Expr:
    under = _weighed(one.under) if one.under else pl.lit(1, pl.Int64)
    return pl.when(under != 0).then(_weighed(one.over).cast(pl.Float64) / under.cast(pl.Float64))


def _weighed(terms: Sequence[tuple[str, int]]) -> pl.Expr:
    return pl.sum_horizontal([pl.col(c).cast(pl.Int64) * w for c, w in terms], ignore_nulls=False)


def _prepared(declared: FeatureSet, events: pl.DataFrame, wanted: pl.Series | None) -> pl.DataFrame:
    """The columns needed of each event, once, and in `told_row` the row of the answer it is told in, −1 for none."""
    for name in (*HEAD, *declared.columns):
        if name not in events.columns:
            raise FeatureError(f"the events have no column {name!r}", todo="give the features what they are declared over")
    asked = ~pl.col("is_label") if wanted is None else ~pl.col("is_label") & wanted
    rows = events.select(*HEAD, *(c for c in declared.columns if c not in HEAD), asked=asked)
    transactions = rows.filter(~pl.col("is_label"))
    if transactions["event_id"].n_unique() != transactions.height:
        # The same event may have been delivered again; where it came first is what counts.
        asked = pl.col("asked").any().over("event_id")
        once = transactions.with_columns(asked).with_row_index("place").sort("position", maintain_order=True)
        once = once.unique("event_id", keep="first", maintain_order=True).sort("place").drop("place")
        rows = pl.concat([once, rows.filter("is_label")])
    return rows.with_columns(told_row=pl.when("asked").then(pl.col("asked").cum_sum().cast(pl.Int64) - 1).otherwise(-1))


class Numbers:
    """Columns as whole numbers, each made once."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self._made: dict[str, pl.Series] = {}
        self._lock = Lock()

    def _of(self, name: str) -> pl.Series:
        with self._lock:
            if name not in self._made:
                self._made[name] = _numbered(self.rows[name])
            return self._made[name]

    def of_entity(self, entity: Sequence[str]) -> Ints:
        """A number for each entity value, −1 where a part of it is missing."""
        code = self._of(entity[0])
        for column in entity[1:]:
            part = self._of(column)
            both = pl.when((code >= 0) & (part >= 0)).then(code * (_most(part) + 1) + part)
            code = _numbered(pl.select(both).to_series())
        numbers: Ints = code.to_numpy()
        return numbers

    def of_column(self, name: str) -> Column:
        """The values of a column of whole numbers or truth values; of any other, a number for each different value."""
        series = self.rows[name]
        there = series.is_not_null().to_numpy()
        if series.dtype == pl.Boolean or series.dtype in _WHOLE:
            return Column(series.cast(pl.Int64).fill_null(0).to_numpy(), there)
        if series.dtype.is_float():
            raise FeatureError(
                f"the column {name!r} holds fractions, whose sums depend on their order", todo="give it as whole millionths"
            )
        return Column(self._of(name).to_numpy(), there)


def _numbered(values: pl.Series) -> pl.Series:
    """The same number for equal values, from 0 up; −1 for a missing one."""
    if values.dtype in _WHOLE and values.len():
        numbers = values.cast(pl.Int64)
        least = numbers.min()
        if isinstance(least, int) and _most(numbers) - least < 4 * values.len():
            return (numbers - least).fill_null(-1)
    if values.dtype == pl.String:
        # Categories of their own, which go with them: whichever number a text gets is told nobody.
        return values.cast(pl.Categorical(pl.Categories.random())).to_physical().cast(pl.Int64).fill_null(-1)
    different = values.unique().drop_nulls().to_frame("value").with_row_index("number")
    found = values.to_frame("value").join(different, on="value", how="left", maintain_order="left")
    return found["number"].cast(pl.Int64).fill_null(-1)


def _most(numbers: pl.Series) -> int:
    most = numbers.max()
    return most if isinstance(most, int) else 0


Found = dict[str, Column]


def _of_entity(numbers: Numbers, times: Times, features: Sequence[Feature], entity: Sequence[str]) -> tuple[Found, Ints]:
    """Values of one entity's features, and the row of the answer each belongs to."""
    prepared = numbers.rows
    code, told_row = numbers.of_entity(entity), prepared["told_row"].to_numpy()
    order = _in_order(prepared, times, code, told_row)
    names = dict.fromkeys(c for f in features for c in (f.of, f.where) if c is not None)
    taken = {n: numbers.of_column(n) for n in names}
    columns = {n: c.taken(order) for n, c in taken.items()}
    rows = Rows(times, code[order], times.rank[order], prepared["is_label"].to_numpy()[order], columns)
    # A label is known from its time on, whenever it came.
    position = np.where(rows.is_label, -1, prepared["position"].to_numpy()[order])
    found = {f.name: aggregate(rows, f) for f in features}
    asked = told_row[order] >= 0
    window_us = max(f.window_us for f in features)
    for part, members, at in _apart(rows, position, _disturbed(rows, position, asked, window_us), window_us):
        for f in features:
            column = aggregate(part, f)
            found[f.name].values[at] = column.values[members]
            found[f.name].there[at] = column.there[members]
    mine = np.flatnonzero(asked)
    if len(mine) == len(order):
        return found, told_row[order]
    return {name: c.taken(mine) for name, c in found.items()}, told_row[order][mine]


def _in_order(prepared: pl.DataFrame, times: Times, code: Ints, told_row: Ints) -> NDArray[np.intp]:
    """The rows of entities somebody asks for: by entity and time, labels before transactions, then by event id."""
    touched = np.zeros(_most(pl.Series(code)) + 2, dtype=np.bool_)
    touched[code[told_row >= 0]] = True
    touched[-1] = False
    order = np.flatnonzero(touched[code])
    order = order[in_order(code[order], times.rank[order])]
    place = code[order] * times.width + times.rank[order]
    alike = place[1:] == place[:-1]
    if alike.any():
        # Ids decide only among the few rows of one entity at one time, so only those are looked at.
        tied = np.flatnonzero(np.append(alike, False) | np.append(False, alike))
        ties = prepared.select(later=~pl.col("is_label"), event_id="event_id")[order[tied]]
        ties = ties.with_columns(place=pl.Series(place[tied]), row=pl.Series(order[tied]))
        order[tied] = ties.sort("place", "later", "event_id")["row"].to_numpy()
    return order


def _disturbed(rows: Rows, position: Ints, asked: Bools, window_us: int) -> Bools:
    """The rows asked for whose window holds something that came after them."""
    if not len(rows):
        return asked
    width = int(position.max()) + 2
    place = rows.code * width + position + 1
    suspects: Bools = (np.maximum.accumulate(place) > place) & asked
    if suspects.any():
        suspects &= extremes(position, rows.first(window_us), largest=True) > position
    return suspects


def _apart(rows: Rows, position: Ints, late: Bools, window_us: int) -> Iterator[tuple[Rows, NDArray[np.intp], NDArray[np.intp]]]:
    """What disturbed rows saw, as entities of their own: one for each entity and position, holding what had come by then.

    Gives rows, which of them are the disturbed ones, and where those are in the whole.
    """
    disturbed = np.flatnonzero(late)
    if not len(disturbed):
        return
    order = disturbed[np.lexsort((disturbed, position[disturbed], rows.code[disturbed]))]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (rows.code[order[1:]] != rows.code[order[:-1]]) | (position[order[1:]] != position[order[:-1]])
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(order))
    # Rows of a group ascend, and so do the beginnings of their windows.
    low, high = rows.first(window_us)[order[begins]], order[ends - 1] + 1
    sizes = np.cumsum(high - low)
    chunk = (sizes - 1) // _ROWS_AT_ONCE
    for number in np.unique(chunk):
        groups = np.flatnonzero(chunk == number)
        yield _copied(rows, position, [(int(low[g]), int(high[g]), order[begins[g] : ends[g]]) for g in groups])


def _copied(
    rows: Rows, position: Ints, groups: list[tuple[int, int, NDArray[np.intp]]]
) -> tuple[Rows, NDArray[np.intp], NDArray[np.intp]]:
    width = np.array([high - low for low, high, _ in groups])
    group = np.repeat(np.arange(len(groups)), width)
    starts = np.concatenate([[0], np.cumsum(width)[:-1]])
    source = np.arange(width.sum()) - starts[group] + np.array([low for low, _, _ in groups])[group]
    upto = np.array([position[members[0]] for _, _, members in groups])
    seen = position[source] <= upto[group]
    kept = np.concatenate([[0], np.cumsum(seen)])
    members = np.concatenate([kept[start + m - low] for start, (low, _, m) in zip(starts, groups, strict=True)])
    source, group = source[seen], group[seen]
    part = Rows(
        rows.times, group.astype(np.int64), rows.rank[source], rows.is_label[source],
        {n: Column(c.values[source], c.there[source]) for n, c in rows.columns.items()},
    )  # fmt: skip
    return part, members, np.concatenate([m for _, _, m in groups])


def _assembled(declared: FeatureSet, told: pl.DataFrame, parts: Sequence[tuple[Found, Ints]]) -> pl.DataFrame:
    columns = [told["event_id"], *(told[n] for n in declared.own)]
    for found, row in parts:
        for name, column in found.items():
            values = np.zeros(told.height, dtype=np.int64)
            there = np.zeros(told.height, dtype=np.bool_)
            values[row], there[row] = column.values, column.there
            series = pl.Series(name, values)
            columns.append(series if there.all() else series.set(~pl.Series(there), None))
    return pl.DataFrame(columns).select("event_id", *_shown(declared))
