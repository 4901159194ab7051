"""Polars frames asked by DuckDB, named rather than found, and as bytes, as workers pass them on and states keep them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Literal

import duckdb
import polars as pl

_LENGTH_BYTES = 8


def query_frames(
    connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object] | None = None, **frames: pl.DataFrame
) -> pl.DataFrame:
    """The answer of a query over `frames`, each a table of its own name while it runs; `values` are bound."""
    for name, frame in frames.items():
        # Views of strings are handed over as they are, rather than copied.
        connection.register(name, frame.to_arrow(compat_level=pl.CompatLevel.newest()))
    try:
        return connection.execute(query, dict(values or {})).pl()
    finally:
        for name in frames:
            connection.unregister(name)


def to_ipc(*frames: pl.DataFrame, compression: Literal["lz4", "zstd", "uncompressed"] = "lz4") -> bytes:
    """Frames as Arrow IPC streams, each behind its length."""
    parts = []
    for frame in frames:
        buffer = io.BytesIO()
        # Views of strings would carry all the text of the larger frame that these rows were taken from; see `owned`.
        frame.write_ipc_stream(buffer, compression=compression, compat_level=pl.CompatLevel.oldest())
        parts.append(buffer.getvalue())
    return b"".join(len(part).to_bytes(_LENGTH_BYTES, "little") + part for part in parts)


def from_ipc(data: bytes) -> list[pl.DataFrame]:
    """The frames that `bytes_of` made bytes of."""
    frames, at = [], 0
    while at < len(data):
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(data[at:begin], "little")
        frames.append(pl.read_ipc_stream(io.BytesIO(data[begin:at])))
    return frames


def compact_strings(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with text of its own: rows taken from a larger frame else keep all the text of that in memory, as long as they are
    kept themselves."""
    (mine,) = from_ipc(to_ipc(frame, compression="uncompressed"))
    return mine
