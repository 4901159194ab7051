"""A DuckDB connection for each thread that reads: pure computation, no lake attached."""

from __future__ import annotations

import threading

import duckdb

from trueup.log.connection import connect

_OF_THREAD = threading.local()


def own_connection() -> duckdb.DuckDBPyConnection:
    """This thread's own connection, of one thread itself: the threads that read are the parallelism."""
    if not hasattr(_OF_THREAD, "connection"):
        _OF_THREAD.connection = connect(threads=1)
    connection: duckdb.DuckDBPyConnection = _OF_THREAD.connection
    return connection
