"""Guard of user queries: one SELECT, or the EXPLAIN of one, over the views and the log, without access to anything else.

There are two independent barriers. First, the connection is locked. The lake is attached read-only, files and network are closed
except for the lake's own data, and no setting can be changed. Second, the query is checked before it runs, in the parse tree of
the DuckDB that will run it. Refused by name are statements other than SELECT, functions that read files, settings or other
databases, and tables outside the warehouse.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from trueup.config import SqlConfig
from trueup.errors import QueryError

TABLE_FUNCTIONS = frozenset({
    "range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree", "regexp_split_to_table",
    "generate_subscripts", "duckdb_columns", "duckdb_tables", "duckdb_views", "duckdb_schemas", "duckdb_types",
    "duckdb_functions", "duckdb_keywords", "pg_timezone_names", "icu_calendar_names", "pragma_version", "test_all_types",
})  # fmt: skip
"""Table functions that are allowed: they build rows from their arguments, or describe names and types."""

REFUSED_FUNCTIONS = frozenset({
    "current_setting", "getenv", "write_log", "json_serialize_plan", "json_execute_serialized_sql", "nextval", "currval",
    "sleep_ms", "pg_sleep", "query", "query_table", "which_secret", "parse_duckdb_log_message",
})  # fmt: skip
"""Scalar functions that read the machine or the configuration, write, or run text as SQL."""

SYSTEM_VIEWS = frozenset({"duckdb_columns", "duckdb_tables", "duckdb_views", "duckdb_schemas", "duckdb_types"})
SCHEMAS = frozenset({
    ("", ""), ("", "main"), ("", "steps"), ("", "information_schema"), ("memory", "main"), ("memory", "steps"), ("lake", "events"),
    ("system", "information_schema"), ("memory", "information_schema"),
})  # fmt: skip
"""The (catalog, schema) pairs whose tables a query may read."""

_GAP = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_EXPLAIN = re.compile(
    rf"{_GAP}EXPLAIN\b{_GAP}(?P<options>ANALYZE\b|\((?!\s*(?:SELECT|WITH|FROM|VALUES|TABLE)\b)[A-Za-z_,\s]+\))?(?P<query>.*)",
    re.IGNORECASE | re.DOTALL,
)
_DEFAULT_BOUNDS = SqlConfig()
_TODO = "write one SELECT over the views, or EXPLAIN one"


def lock(connection: duckdb.DuckDBPyConnection, data: str, spill: str, bounds: SqlConfig = _DEFAULT_BOUNDS) -> None:
    """Close a connection for good to everything but the lake's data (a folder or URL prefix) and a folder for temporary files.

    Memory, threads and spilled bytes are bounded from then on; no query can raise the bounds.
    """
    folder = data.replace("'", "''")
    spill_folder = spill.replace("'", "''")
    for setting in (
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        f"temp_directory = '{spill_folder}'",
        f"max_temp_directory_size = '{bounds.temp}B'",
        f"memory_limit = '{bounds.memory}B'",
        f"threads = {min(bounds.threads, os.cpu_count() or 1)}",
        f"allowed_directories = ['{folder}']",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")


def permitted_statement(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """Return the statement to execute for a query text; raise `QueryError` for anything but a permitted SELECT or EXPLAIN."""
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as error:
        raise QueryError(f"invalid SQL: {duckdb_error_line(error)}", todo=_TODO) from None
    if len(statements) != 1:
        raise QueryError(f"the query has {len(statements)} statements" if statements else "the query is empty", todo=_TODO)
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        return _rebuild_explain(connection, text)
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(f"{kind.name} is refused", todo=_TODO)
    _check_tree(_parse_tree(connection, text))
    return text


def duckdb_error_line(error: Exception) -> str:
    """Return a DuckDB error in one line, without the excerpt of the query."""
    lines = str(error).split("\nLINE ")[0].splitlines()
    return " ".join(line.strip() for line in lines if line.strip())


def _rebuild_explain(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """Rebuild an EXPLAIN around its query, so that the query that was checked is the query that runs."""
    match = _EXPLAIN.fullmatch(text)
    if match is None:
        raise QueryError("unsupported form of EXPLAIN", todo=_TODO)
    query = match["query"]
    _check_tree(_parse_tree(connection, query))
    return f"EXPLAIN {match['options'] or ''} {query}"


def _parse_tree(connection: duckdb.DuckDBPyConnection, text: str) -> dict[str, Any]:
    """Return the parse tree of one SELECT, as DuckDB serialises it; DuckDB serialises no other statement."""
    row = connection.execute("SELECT CAST(json_serialize_sql(CAST($text AS VARCHAR)) AS VARCHAR)", {"text": text}).fetchone()
    assert row is not None
    try:
        tree: dict[str, Any] = json.loads(row[0])
    except RecursionError:
        raise QueryError("the query is nested too deeply", todo="write it with fewer levels of nesting") from None
    if tree["error"] or len(tree["statements"]) != 1:
        raise QueryError(f"refused: {tree.get('error_message', 'the text is not one SELECT')}", todo=_TODO)
    return tree


def _check_tree(tree: dict[str, Any]) -> None:
    table_functions: set[int] = set()  # Nodes of functions in the place of a table.
    for node in _walk_nodes(tree):
        if node.get("type") == "TABLE_FUNCTION" and isinstance(node.get("function"), dict):
            table_functions.add(id(node["function"]))
            _check_table_function(node["function"])
        elif node.get("type") == "BASE_TABLE":
            _check_table(node)
        elif "function_name" in node and id(node) not in table_functions and _read_name(node, "function_name") in REFUSED_FUNCTIONS:
            raise QueryError(f"the function {node['function_name']} is refused", todo="read the views instead")


def _check_table_function(function: dict[str, Any]) -> None:
    if _read_name(function, "function_name") not in TABLE_FUNCTIONS:
        raise QueryError(f"the table function {function.get('function_name')} is refused", todo="read the views instead")


def _check_table(table: dict[str, Any]) -> None:
    catalog, schema, name = _read_name(table, "catalog_name"), _read_name(table, "schema_name"), _read_name(table, "table_name")
    system = name.startswith(("duckdb_", "pragma_", "sqlite_")) and name not in SYSTEM_VIEWS
    if (catalog, schema) not in SCHEMAS or system:
        where = ".".join(part for part in (catalog, schema, name) if part)
        raise QueryError(f"the table {where} is refused", todo="read the views, or the tables of lake.events")
    if re.search(r"[/\\*?]|://|\.\w+$", name):
        raise QueryError(f"{name!r} would be a file, which is refused", todo="read the views instead")


def _read_name(node: dict[str, Any], key: str) -> str:
    return str(node.get(key) or "").lower()


def _walk_nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every object of a parse tree, parents before their children."""
    unvisited: list[Any] = [tree]
    while unvisited:
        node = unvisited.pop()
        if isinstance(node, dict):
            yield node
            unvisited.extend(node.values())
        elif isinstance(node, list):
            unvisited.extend(node)
