"""All keys under one hash: what a query answers may not depend on the hashes of keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb


@contextmanager
def equal_hashes(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Replace the function `hash` of SQL on a connection by one that gives all values the same hash."""
    names = "abcdefgh"
    forms = (f"({', '.join(names[:count])}) AS CAST(0 AS UBIGINT)" for count in range(1, len(names) + 1))
    connection.execute(f"CREATE TEMP MACRO hash{', '.join(forms)}")
    try:
        yield
    finally:
        connection.execute("DROP MACRO temp.hash")
