"""What `schema.sql` has and an older lake lacks: tables and columns are added, nothing is ever changed or taken away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import duckdb

_TABLE = re.compile(r"^(?:CREATE|ALTER) TABLE lake\.events\.(\w+)", re.MULTILINE)

Columns = dict[str, dict[str, str]]
"""Table by table, the columns and their types."""


@cache
def schema() -> tuple[str, ...]:
    """The statements that make an empty log."""
    text = files(__package__).joinpath("schema.sql").read_text("utf-8")
    return tuple(statement.query for statement in duckdb.extract_statements(text))


@cache
def declared() -> Columns:
    """What `schema.sql` says there is, as an empty DuckDB makes it."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("ATTACH ':memory:' AS lake")
        for statement in schema():
            if "CREATE" in statement:
                connection.execute(statement)
        return _columns(connection)


def _columns(connection: duckdb.DuckDBPyConnection) -> Columns:
    found: Columns = {}
    told = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = 'lake' AND schema_name = 'events'"
    for table, column, dtype in connection.execute(told).fetchall():
        found.setdefault(table, {})[column] = dtype
    return found


def missing(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The statements that give the attached lake what it lacks: none for one that is up to date."""
    return list(_missing(_columns(connection)))


def _missing(there: Columns) -> Iterator[str]:
    for statement in schema():
        named = _TABLE.search(statement)
        if named and named[1] not in there:
            yield statement
    for table, columns in declared().items():
        for column, dtype in columns.items():
            if table in there and column not in there[table]:
                yield f"ALTER TABLE lake.events.{table} ADD COLUMN {column} {dtype}"
