"""Compute features incrementally: a state passes from one batch of events to the next, serialized in between.

The state holds the events that later windows may still cover. `advance` is a pure function from state and new events to features
and state; its features equal those of `history`. A serialized state is a head and runs of rows, of which each step changes few.
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
"""Part of the serialized state; a release raises it when the meaning of the state changes."""
_DROP_AT = 4
"""Expired rows are dropped when they are at least one row in this many, because all runs are then rewritten."""
_CHUNKS = 64
_BEGINNING = -(2**62)


class StateError(FeatureError):
    """A state that cannot be continued; it can be rebuilt from the log."""


@dataclass(frozen=True)
class SerializedState:
    """A serialized state: a head, and the runs that differ from the previous state, by number."""

    head: bytes
    runs: dict[int, bytes]
    count: int


@dataclass(frozen=True)
class State:
    """Events that later windows may cover, complete for every time after `forgotten_us`, and the hash of their features.

    `runs` are the lengths of consecutive row ranges, each more than twice as long as the next; `edition` changes when rows are
    dropped.
    """

    feature_hash: str
    rows: pl.DataFrame
    forgotten_us: int = _BEGINNING
    runs: tuple[int, ...] = ()
    edition: int = 0

    @classmethod
    def of(cls, declared: FeatureSet, events: pl.DataFrame, *, forgotten_us: int = _BEGINNING) -> State:
        """Return the state after all events: the events later than `forgotten_us`."""
        columns = [*HEAD, *(c for c in declared.columns if c not in HEAD)]
        rows = events.select(columns).filter(pl.col("at_us") > forgotten_us)
        return cls(declared.hash, rows, forgotten_us, _merge_runs((), rows.height))

    def pack(self) -> bytes:
        """Return the whole state as one Arrow stream, with its version and feature hash in the schema."""
        return self._serialize(self.rows, ())

    def pack_changes(self, before: State | None = None) -> SerializedState:
        """Return the state as a head and the runs that the state `before` did not have."""
        known = _find_bounds(before.runs) if before is not None and before.edition == self.edition else []
        changed = {
            n: _write_stream(self.rows[low:high].to_arrow(), {})
            for n, (low, high) in enumerate(_find_bounds(self.runs))
            if n >= len(known) or known[n] != (low, high)
        }
        return SerializedState(self._serialize(self.rows.clear(), self.runs), changed, len(self.runs))

    def _serialize(self, rows: pl.DataFrame, runs: tuple[int, ...]) -> bytes:
        notes = {
            "trueup.state": str(STATE_VERSION), "trueup.features": self.feature_hash, "trueup.forgotten": str(self.forgotten_us),
            "trueup.runs": " ".join(map(str, runs)), "trueup.edition": str(self.edition),
        }  # fmt: skip
        return _write_stream(rows.to_arrow(), notes)

    @classmethod
    def unpack(cls, data: bytes, declared: FeatureSet, runs: Mapping[int, bytes] | None = None) -> State:
        """Return the state from the bytes of `pack`, or from a head and runs of `pack_changes`.

        Raises `StateError` for damaged bytes, an older version or other features. Raises `TrueupError` for a newer version, because
        an older program must not overwrite its state.
        """
        table = _read_stream(data)
        notes = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        version = notes.get("trueup.state", "none")
        if version.isdigit() and int(version) > STATE_VERSION:
            raise TrueupError(
                f"the state of windows was written by a later version ({version}; this one has {STATE_VERSION})",
                todo="run the later version, or `trueup stream --fresh`, which rebuilds the state from the log",
            )
        if version != str(STATE_VERSION):
            raise StateError(f"the state is of version {version}, not {STATE_VERSION}", todo="rebuild it from the log")
        if notes["trueup.features"] != declared.hash:
            raise StateError("the state is for other features", todo="rebuild it from the log")
        sizes = tuple(int(n) for n in notes["trueup.runs"].split())
        tables = [table, *(_read_stream((runs or {}).get(n, b"")) for n in range(len(sizes)))]
        if [t.num_rows for t in tables[1:]] != list(sizes):
            raise StateError("the state's runs differ from those that its head lists", todo="rebuild it from the log")
        rows = pl.from_arrow(pa.concat_tables(t.replace_schema_metadata(None) for t in tables))
        assert isinstance(rows, pl.DataFrame)
        return cls(
            declared.hash, rows, int(notes["trueup.forgotten"]), sizes or _merge_runs((), rows.height), int(notes["trueup.edition"])
        )


def _write_stream(table: pa.Table, notes: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    table = table.replace_schema_metadata(notes)
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def _read_stream(data: bytes) -> pa.Table:
    try:
        return pa.ipc.open_stream(data).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise StateError(f"the state is damaged: {str(error).splitlines()[0]}", todo="rebuild it from the log") from None


def _merge_runs(before: tuple[int, ...], added: int) -> tuple[int, ...]:
    """Return run lengths with one more run: each run at most twice as long as the next is merged with it."""
    runs = list(before)
    while added and runs and runs[-1] <= 2 * added:
        added += runs.pop()
    return (*runs, added) if added else tuple(runs)


def _find_bounds(runs: tuple[int, ...]) -> list[tuple[int, int]]:
    ends = [sum(runs[: n + 1]) for n in range(len(runs))]
    return list(zip([0, *ends], ends, strict=False))


def advance(declared: FeatureSet, state: State, events: pl.DataFrame, *, lateness_us: int) -> tuple[pl.DataFrame, State]:
    """Return features of the transactions among new events, and the state for the next batch.

    Batches are in the order of positions; an event delivered again gives no row. The state retains the windows of this batch, and
    the windows of any transaction at most `lateness_us` older than the newest. Raises `StateError` for an older transaction.
    """
    if state.feature_hash != declared.hash:
        raise StateError("the state is for other features", todo="rebuild it from the log")
    columns = state.rows.columns
    earlier = _select_rows_of_entities(declared, state.rows, events)
    # A label has the event id of its transaction.
    fresh = events.select(columns).join(
        earlier.select("event_id", "is_label"), on=["event_id", "is_label"], how="anti", maintain_order="left"
    )
    # The first position of an event counts, even if its copies are in one batch.
    fresh = fresh.sort("position", maintain_order=True).unique(["event_id", "is_label"], keep="first", maintain_order=True)
    fresh = fresh.cast(dict(state.rows.schema))  # type: ignore[arg-type]
    begins = _find_earliest_needed_us(declared, fresh)
    if begins is not None and begins < state.forgotten_us:
        raise StateError("a transaction is older than the state covers", todo="rebuild the state from the log")
    new = pl.repeat(False, earlier.height, eager=True).append(pl.repeat(True, fresh.height, eager=True))
    features = history(declared, pl.concat([earlier, fresh]), requested=new)
    rows = pl.concat([state.rows, fresh])
    rows = rows.rechunk() if rows.n_chunks() > _CHUNKS else rows
    grown = replace(state, rows=rows, runs=_merge_runs(state.runs, fresh.height))
    return features, grown if begins is None else _drop_expired(declared, grown, begins, lateness_us)


def _select_rows_of_entities(declared: FeatureSet, rows: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that windows of new events can cover; with one entity, the rows of the same entity values."""
    if len(declared.entities) != 1:
        return rows
    on = list(declared.entities[0])
    return rows.join(events.select(on).unique(), on=on, how="semi", nulls_equal=True, maintain_order="left")


def _find_earliest_needed_us(declared: FeatureSet, events: pl.DataFrame) -> int | None:
    """Return the earliest time that windows of the transactions cover; None without transactions."""
    least = events.filter(~pl.col("is_label"))["at_us"].min()
    return least - declared.longest_window_us if isinstance(least, int) else None


def _drop_expired(declared: FeatureSet, state: State, begins: int, lateness_us: int) -> State:
    newest = state.rows.filter(~pl.col("is_label"))["at_us"].max()
    assert isinstance(newest, int)
    forgotten = max(state.forgotten_us, min(begins, newest - declared.longest_window_us - lateness_us))
    retained = state.rows.filter(pl.col("at_us") > forgotten)
    if _DROP_AT * (state.rows.height - retained.height) < state.rows.height:
        return replace(state, forgotten_us=forgotten)
    return State(state.feature_hash, retained.rechunk(), forgotten, _merge_runs((), retained.height), state.edition + 1)
