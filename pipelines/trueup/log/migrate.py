"""Migration: adds the tables and columns of `schema.sql` that an older lake lacks; nothing is changed or removed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import duckdb

_TABLE = re.compile(r"^(?:CREATE|ALTER) TABLE lake\.events\.(\w+)", re.MULTILINE)

_COLUMN = re.compile(r"^ +(\w+) [A-Z]", re.MULTILINE)

Columns = dict[str, dict[str, str]]
"""Column types by table and column."""


@cache
def schema() -> tuple[str, ...]:
    """Return the statements that create an empty log."""
    text = files(__package__).joinpath("schema.sql").read_text("utf-8")
    return tuple(statement.query for statement in duckdb.extract_statements(text))


@cache
def declared() -> Columns:
    """Return the tables and columns of `schema.sql`, as an empty DuckDB creates them."""
    with duckdb.connect(":memory:", config={"threads": "1"}) as connection:
        connection.execute("ATTACH ':memory:' AS lake")
        for statement in schema():
            if "CREATE" in statement:
                connection.execute(statement)
        return _read_columns(connection)


def _read_columns(connection: duckdb.DuckDBPyConnection) -> Columns:
    columns: Columns = {}
    query = (
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = 'lake' AND schema_name = 'events'"
    )
    for table, column, dtype in connection.execute(query).fetchall():
        columns.setdefault(table, {})[column] = dtype
    return columns


@cache
def names() -> frozenset[tuple[str, str]]:
    """Return the tables and columns of `schema.sql` by name alone, as its text has them."""
    tables = ((match[1], text) for text in schema() if (match := _TABLE.search(text)))
    return frozenset((table, column) for table, text in tables for column in _COLUMN.findall(text))


def missing(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the statements that add what the attached lake lacks: none for one that is up to date."""
    existing = _read_columns(connection)
    if names() <= {(table, column) for table, columns in existing.items() for column in columns}:
        # The types, which a DuckDB of their own must parse, are needed for additions only.
        return []
    return list(_find_missing(existing))


def _find_missing(existing: Columns) -> Iterator[str]:
    for statement in schema():
        match = _TABLE.search(statement)
        if match and match[1] not in existing:
            yield statement
    for table, columns in declared().items():
        for column, dtype in columns.items():
            if table in existing and column not in existing[table]:
                yield f"ALTER TABLE lake.events.{table} ADD COLUMN {column} {dtype}"
