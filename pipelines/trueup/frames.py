"""DuckDB over Polars frames, with the frames named rather than found."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import polars as pl


def queried(
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
