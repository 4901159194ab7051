"""Polars frames as tables of a DuckDB query, and as bytes for workers and for persisted state."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Literal

import duckdb
import polars as pl

_LENGTH_BYTES = 8
# Arrow copies a buffer that is not aligned to its type; by default it also writes a warning of its own code's place on stderr.
os.environ.setdefault("ACERO_ALIGNMENT_HANDLING", "reallocate")


def query_frames(
    connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object] | None = None, **frames: pl.DataFrame
) -> pl.DataFrame:
    """Return the result of a query over `frames`, each a table of its own name while it runs; `values` are bound."""
    for name, frame in frames.items():
        # String views are passed on without a copy.
        connection.register(name, frame.to_arrow(compat_level=pl.CompatLevel.newest()))
    try:
        return connection.execute(query, dict(values or {})).pl()
    finally:
        for name in frames:
            connection.unregister(name)


def to_ipc(*frames: pl.DataFrame, compression: Literal["lz4", "zstd", "uncompressed"] = "lz4") -> bytes:
    """Return frames as Arrow IPC streams, each behind its length in eight bytes."""
    parts = []
    for frame in frames:
        buffer = io.BytesIO()
        # String views would carry all text of the larger frame from which these rows were taken; see `compact_strings`.
        frame.write_ipc_stream(buffer, compression=compression, compat_level=pl.CompatLevel.oldest())
        parts.append(buffer.getvalue())
    return b"".join(len(part).to_bytes(_LENGTH_BYTES, "little") + part for part in parts)


def from_ipc(data: bytes) -> list[pl.DataFrame]:
    """Return the frames of bytes that `to_ipc` wrote."""
    frames, at = [], 0
    while at < len(data):
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(data[at:begin], "little")
        frames.append(pl.read_ipc_stream(io.BytesIO(data[begin:at])))
    return frames


def joined_texts(texts: pl.Series) -> str:
    """Return all texts as one, which shows at little cost that no text has a character.

    >>> joined_texts(pl.Series(["ab", None, "c"]))
    'abc'
    """
    return texts.str.join("").item() or ""


def compact_strings(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with a copy of its text.

    Rows taken from a larger frame otherwise hold all text of that frame in memory for as long as they are retained.
    """
    (compact,) = from_ipc(to_ipc(frame, compression="uncompressed"))
    return compact
