"""Features step by step: a state carried from one batch of events to the next, as bytes between whiles.

The state is the events a later one may still look back at. `advance` is a pure fold, state + new events → features + state, and
gives what `history` gives for the same transactions. As bytes it is a head and runs of rows, of which a step changes few.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl
import pyarrow as pa

from trueup.errors import TrueupError
from trueup.fraud.features.feature_engine import HEAD, history
from trueup.fraud.features.feature_spec import FeatureError, FeatureSet

STATE_VERSION = 2
"""Part of the bytes; raised when they change their meaning."""
_FORGET_AT = 4
"""Rows nobody can look back at are dropped when they are one in so many: then all runs are written anew."""
_CHUNKS = 64
_BEGINNING = -(2**62)


class StateError(FeatureError):
    """A state that cannot be gone on from; the log holds what it takes to make another."""


@dataclass(frozen=True)
class Parted:
    """A state as bytes: a head, and those of its runs that are not the same as in the state before it."""

    head: bytes
    runs: dict[int, bytes]
    count: int


@dataclass(frozen=True)
class State:
    """Events to look back at, complete for every time after `forgotten_us`, and the features they are for.

    `runs` are the lengths of stretches of rows, each more than twice as long as the next; `edition` changes when rows are dropped.
    """

    feature_hash: str
    rows: pl.DataFrame
    forgotten_us: int = _BEGINNING
    runs: tuple[int, ...] = ()
    edition: int = 0

    @classmethod
    def of(cls, declared: FeatureSet, events: pl.DataFrame, *, forgotten_us: int = _BEGINNING) -> State:
        """The state after a history: the events later than `forgotten_us`."""
        columns = [*HEAD, *(c for c in declared.columns if c not in HEAD)]
        rows = events.select(columns).filter(pl.col("at_us") > forgotten_us)
        return cls(declared.hash, rows, forgotten_us, _runs((), rows.height))

    def packed(self) -> bytes:
        """The whole state as one Arrow stream, with its version and feature hash in the schema."""
        return self._written(self.rows, ())

    def parted(self, before: State | None = None) -> Parted:
        """The state as a head and the runs that the state `before` did not have."""
        known = _places(before.runs) if before is not None and before.edition == self.edition else []
        changed = {
            n: _stream(self.rows[low:high].to_arrow(), {})
            for n, (low, high) in enumerate(_places(self.runs))
            if n >= len(known) or known[n] != (low, high)
        }
        return Parted(self._written(self.rows.clear(), self.runs), changed, len(self.runs))

    def _written(self, rows: pl.DataFrame, runs: tuple[int, ...]) -> bytes:
        notes = {
            "trueup.state": str(STATE_VERSION), "trueup.features": self.feature_hash, "trueup.forgotten": str(self.forgotten_us),
            "trueup.runs": " ".join(map(str, runs)), "trueup.edition": str(self.edition),
        }  # fmt: skip
        return _stream(rows.to_arrow(), notes)

    @classmethod
    def unpacked(cls, data: bytes, declared: FeatureSet, runs: Mapping[int, bytes] | None = None) -> State:
        """The state that `packed` made bytes of, or `parted` a head and runs.

        Raises `StateError` for damaged bytes, an older version or other features, and `TrueupError` for a version that is newer:
        going on would undo what it has kept.
        """
        table = _read(data)
        notes = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        told = notes.get("trueup.state", "none")
        if told.isdigit() and int(told) > STATE_VERSION:
            raise TrueupError(
                f"the state of windows was written by a later version ({told}; this one has {STATE_VERSION})",
                todo="run the later version, or `trueup stream --fresh`, which makes the state of the log again",
            )
        if told != str(STATE_VERSION):
            raise StateError(f"the state is of version {told}, not {STATE_VERSION}", todo="make it again from the log")
        if notes["trueup.features"] != declared.hash:
            raise StateError("the state is for other features", todo="make it again from the log")
        sizes = tuple(int(n) for n in notes["trueup.runs"].split())
        tables = [table, *(_read((runs or {}).get(n, b"")) for n in range(len(sizes)))]
        if [t.num_rows for t in tables[1:]] != list(sizes):
            raise StateError("the state's runs are not those it names", todo="make it again from the log")
        rows = pl.from_arrow(pa.concat_tables(t.replace_schema_metadata(None) for t in tables))
        assert isinstance(rows, pl.DataFrame)
        return cls(
            declared.hash, rows, int(notes["trueup.forgotten"]), sizes or _runs((), rows.height), int(notes["trueup.edition"])
        )


def _stream(table: pa.Table, notes: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    table = table.replace_schema_metadata(notes)
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def _read(data: bytes) -> pa.Table:
    try:
        return pa.ipc.open_stream(data).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise StateError(f"the state is damaged: {str(error).splitlines()[0]}", todo="make it again from the log") from None


def _runs(before: tuple[int, ...], added: int) -> tuple[int, ...]:
    """Lengths of runs with one more: whatever is not twice as long as what follows it becomes one with it."""
    runs = list(before)
    while added and runs and runs[-1] <= 2 * added:
        added += runs.pop()
    return (*runs, added) if added else tuple(runs)


def _places(runs: tuple[int, ...]) -> list[tuple[int, int]]:
    ends = [sum(runs[: n + 1]) for n in range(len(runs))]
    return list(zip([0, *ends], ends, strict=False))


def advance(declared: FeatureSet, state: State, events: pl.DataFrame, *, lateness_us: int) -> tuple[pl.DataFrame, State]:
    """Features of the transactions among new events, and the state for what comes next.

    They come batch by batch in the order of positions; those known already, delivered again, give nothing. What a transaction up to
    `lateness_us` behind the newest could look back at is kept, and whatever this batch looked back at. Raises `StateError` for a
    transaction that is later than that.
    """
    if state.feature_hash != declared.hash:
        raise StateError("the state is for other features", todo="make it again from the log")
    columns = state.rows.columns
    near = _near(declared, state.rows, events)
    # A label has the id of the transaction it is of.
    fresh = events.select(columns).join(
        near.select("event_id", "is_label"), on=["event_id", "is_label"], how="anti", maintain_order="left"
    )
    # Where an event came first is what counts, also among those that come together.
    fresh = fresh.sort("position", maintain_order=True).unique(["event_id", "is_label"], keep="first", maintain_order=True)
    fresh = fresh.cast(dict(state.rows.schema))  # type: ignore[arg-type]
    begins = _needed(declared, fresh)
    if begins is not None and begins < state.forgotten_us:
        raise StateError("a transaction is later than the state reaches back", todo="make the state again from the log")
    new = pl.repeat(False, near.height, eager=True).append(pl.repeat(True, fresh.height, eager=True))
    features = history(declared, pl.concat([near, fresh]), wanted=new)
    rows = pl.concat([state.rows, fresh])
    rows = rows.rechunk() if rows.n_chunks() > _CHUNKS else rows
    grown = replace(state, rows=rows, runs=_runs(state.runs, fresh.height))
    return features, grown if begins is None else _forgetting(declared, grown, begins, lateness_us)


def _near(declared: FeatureSet, rows: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """The rows that new events can look back at: where all features are of one entity, those of the same value of it."""
    if len(declared.entities) != 1:
        return rows
    on = list(declared.entities[0])
    return rows.join(events.select(on).unique(), on=on, how="semi", nulls_equal=True, maintain_order="left")


def _needed(declared: FeatureSet, events: pl.DataFrame) -> int | None:
    """The earliest time that transactions look back at; None where there are none."""
    least = events.filter(~pl.col("is_label"))["at_us"].min()
    return least - declared.longest_window_us if isinstance(least, int) else None


def _forgetting(declared: FeatureSet, state: State, begins: int, lateness_us: int) -> State:
    newest = state.rows.filter(~pl.col("is_label"))["at_us"].max()
    assert isinstance(newest, int)
    forgotten = max(state.forgotten_us, min(begins, newest - declared.longest_window_us - lateness_us))
    kept = state.rows.filter(pl.col("at_us") > forgotten)
    if _FORGET_AT * (state.rows.height - kept.height) < state.rows.height:
        return replace(state, forgotten_us=forgotten)
    return State(state.feature_hash, kept.rechunk(), forgotten, _runs((), kept.height), state.edition + 1)
