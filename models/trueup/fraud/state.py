"""Features step by step: a state carried from one batch of events to the next, as bytes between whiles.

The state is the events a later one may still look back at. `advance` is a pure fold, state + new events → features + state, and
gives what `history` gives for the same transactions.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from trueup.fraud.declare import FeatureError, FeatureSet
from trueup.fraud.engine import HEAD, history

STATE_VERSION = 1
"""Part of the bytes; raised when they change their meaning."""

_BEGINNING = -(2**62)


class StateError(FeatureError):
    """A state that cannot be gone on from; the log holds what it takes to make another."""


@dataclass(frozen=True)
class State:
    """Events to look back at, complete for every time after `forgotten_us`, and the features they are for."""

    feature_hash: str
    rows: pl.DataFrame
    forgotten_us: int = _BEGINNING

    @classmethod
    def of(cls, declared: FeatureSet, events: pl.DataFrame, *, forgotten_us: int = _BEGINNING) -> State:
        """The state after a history: the events later than `forgotten_us`."""
        columns = [*HEAD, *(c for c in declared.columns if c not in HEAD)]
        return cls(declared.hash, events.select(columns).filter(pl.col("at_us") > forgotten_us), forgotten_us)

    def packed(self) -> bytes:
        """The state as an Arrow stream with its version and feature hash in the schema."""
        table = self.rows.to_arrow()
        notes = {
            "trueup.state": str(STATE_VERSION),
            "trueup.features": self.feature_hash,
            "trueup.forgotten": str(self.forgotten_us),
        }
        buffer = io.BytesIO()
        table = table.replace_schema_metadata(notes)
        with pa.ipc.new_stream(buffer, table.schema) as writer:
            writer.write_table(table)
        return buffer.getvalue()

    @classmethod
    def unpacked(cls, data: bytes, declared: FeatureSet) -> State:
        """The state `packed` made bytes of; raises `StateError` for damaged bytes, another version or other features."""
        try:
            table = pa.ipc.open_stream(data).read_all()
        except (pa.ArrowInvalid, OSError) as error:
            raise StateError(f"the state is damaged: {str(error).splitlines()[0]}", todo="make it again from the log") from None
        notes = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        if notes.get("trueup.state") != str(STATE_VERSION):
            told = notes.get("trueup.state", "none")
            raise StateError(f"the state is of version {told}, not {STATE_VERSION}", todo="make it again from the log")
        if notes["trueup.features"] != declared.hash:
            raise StateError("the state is for other features", todo="make it again from the log")
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return cls(declared.hash, frame, int(notes["trueup.forgotten"]))


def advance(declared: FeatureSet, state: State, events: pl.DataFrame, *, lateness_us: int) -> tuple[pl.DataFrame, State]:
    """Features of the transactions among new events, and the state for what comes next.

    They come batch by batch in the order of positions; those known already, delivered again, give nothing. What a transaction up to
    `lateness_us` behind the newest could look back at is kept. Raises `StateError` for one that is later than that.
    """
    if state.feature_hash != declared.hash:
        raise StateError("the state is for other features", todo="make it again from the log")
    columns = state.rows.columns
    # A label has the id of the transaction it is of.
    seen = state.rows.select("event_id", "is_label")
    fresh = events.select(columns).join(seen, on=["event_id", "is_label"], how="anti", maintain_order="left")
    # Where an event came first is what counts, also among those that come together.
    fresh = fresh.sort("position", maintain_order=True).unique(["event_id", "is_label"], keep="first", maintain_order=True)
    transactions = fresh.filter(~pl.col("is_label"))
    if transactions.height:
        needed = _number(transactions["at_us"].min()) - declared.longest_window_us
        if needed < state.forgotten_us:
            raise StateError("a transaction is later than the state reaches back", todo="make the state again from the log")
    whole = pl.concat([state.rows, fresh.cast(dict(state.rows.schema))])  # type: ignore[arg-type]
    new = pl.repeat(False, state.rows.height, eager=True).append(pl.repeat(True, fresh.height, eager=True))
    features = history(declared, whole, wanted=new)
    if whole.is_empty():
        return features, state
    keep_from = _number(whole["at_us"].max()) - declared.longest_window_us - lateness_us
    forgotten = max(state.forgotten_us, keep_from)
    return features, State(state.feature_hash, whole.filter(pl.col("at_us") > forgotten), forgotten)


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
