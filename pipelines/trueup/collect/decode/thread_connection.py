"""One DuckDB connection per decoding thread, for computation only: no lake is attached."""

from __future__ import annotations

import threading

import duckdb

from trueup.log.catalog.connection import connect

_OF_THREAD = threading.local()


def own_connection() -> duckdb.DuckDBPyConnection:
    """Return this thread's own single-threaded connection, because the decoding threads already run in parallel."""
    if not hasattr(_OF_THREAD, "connection"):
        _OF_THREAD.connection = connect(threads=1)
    connection: duckdb.DuckDBPyConnection = _OF_THREAD.connection
    return connection
