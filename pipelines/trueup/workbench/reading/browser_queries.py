"""Queries that the browser itself sends: cross-filters of the page Explore, under the guard.

The queries run in a separate DuckDB, with the copy of the views attached read-only. This DuckDB is locked like `trueup sql`: no
file, no network, no setting. Each text is checked in DuckDB's own parse tree. The one thing a browser may create is a
pre-aggregate: a table in memory with a name that Mosaic computes, of a permitted SELECT.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import duckdb

from trueup.config import SqlConfig
from trueup.errors import QueryError
from trueup.units import MICROS
from trueup.warehouse.access import guard
from trueup.warehouse.access.bounds import TimeLimit, naming_limits
from trueup.workbench.reading.statements import statement_text
from trueup.workbench.reading.view_copy import CopyVersion, ViewCopy, attached

MOST_SQL_CHARACTERS = 100_000
MOST_AGGREGATES = 500
MOST_ANSWER_BYTES = 64 << 20
_LONGEST_US = 20 * MICROS
_EXPLORED = ("findings", "suspicious_transactions")
_AGGREGATE = re.compile(
    r'\s*CREATE\s+(?:TEMP\s+)?TABLE\s+IF\s+NOT\s+EXISTS\s+"?main"?\."?(?P<name>preagg_[0-9a-f]{1,32})"?\s+AS\s+(?P<query>.+)',
    re.IGNORECASE | re.DOTALL,
)
_SCHEMA = re.compile(r'\s*CREATE\s+SCHEMA\s+IF\s+NOT\s+EXISTS\s+"?main"?\s*;?\s*', re.IGNORECASE)
_TODO = "a page may only read its own tables"


class BrowserQueries:
    """Answers the queries of browsers over the newest copy of the views."""

    def __init__(self, copy: ViewCopy, bounds: SqlConfig) -> None:
        self._copy = copy
        self._bounds = bounds.model_copy(update={"timeout": min(bounds.timeout, _LONGEST_US)})
        self._lock = threading.Lock()
        self._database: _Database | None = None

    def arrow(self, sql: str) -> bytes:
        """Return the answer to one SELECT as an Arrow IPC stream; raise `QueryError` for any other text."""
        import pyarrow as pa

        database = self._open_newest_copy()
        with database.cursor() as connection, _limit_query(connection, self._bounds):
            text = guard.permitted_statement(connection, _check_length(sql))
            table = connection.execute(text).to_arrow_table()
            if table.nbytes > MOST_ANSWER_BYTES:
                raise QueryError("the answer is larger than a browser should hold", todo="ask for less")
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            return sink.getvalue()

    def execute(self, sql: str) -> None:
        """Create a pre-aggregate; raise `QueryError` for any other text."""
        for text in filter(str.strip, _check_length(sql).split(";\n")):
            if not _SCHEMA.fullmatch(text):
                self._create_aggregate(text.rstrip().rstrip(";"))

    def close(self) -> None:
        """Close the browser's database."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = None

    def _create_aggregate(self, text: str) -> None:
        match = _AGGREGATE.fullmatch(text)
        if match is None:
            raise QueryError("a browser may create nothing but a pre-aggregate", todo=_TODO)
        database = self._open_newest_copy()
        with database.cursor() as connection, _limit_query(connection, self._bounds):
            query = guard.permitted_statement(connection, match["query"])
            if connection.extract_statements(query)[0].type != duckdb.StatementType.SELECT:
                raise QueryError("a pre-aggregate is of one SELECT", todo=_TODO)
            database.count_aggregate(match["name"])
            connection.execute(f"CREATE TABLE IF NOT EXISTS memory.main.{match['name']} AS {query}")

    def _open_newest_copy(self) -> _Database:
        version = self._copy.current
        with self._lock:
            if self._database is None or self._database.version is not version:
                if self._database is not None:
                    self._database.close()
                self._database = _Database(version, self._copy.folder.new_folder("spill"), self._bounds)
            return self._database


class _Database:
    """One locked DuckDB with a copy attached; `version` is the copy."""

    def __init__(self, version: CopyVersion, spill: TemporaryDirectory[str], bounds: SqlConfig) -> None:
        self.version = version
        self._spill = spill
        self._aggregates: set[str] = set()
        self._root = attached(version.path)
        for table in _EXPLORED:
            self._root.execute(f"CREATE VIEW memory.main.{table} AS {statement_text(f'explore/{table}')}")
        guard.lock(self._root, self._spill.name, self._spill.name, bounds)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        return self._root.cursor()

    def count_aggregate(self, name: str) -> None:
        self._aggregates.add(name)
        if len(self._aggregates) > MOST_AGGREGATES:
            raise QueryError("there are too many pre-aggregates", todo="wait for the next copy of the views")

    def close(self) -> None:
        self._root.close()
        self._spill.cleanup()


@contextmanager
def _limit_query(connection: duckdb.DuckDBPyConnection, bounds: SqlConfig) -> Iterator[None]:
    """Bound the time of one query, and turn an error of DuckDB into a `QueryError`."""
    with TimeLimit(connection, bounds) as time_limit:
        try:
            with naming_limits(bounds, time_limit):
                yield
        except duckdb.Error as error:
            raise QueryError(guard.duckdb_error_line(error), todo=_TODO) from None


def _check_length(sql: str) -> str:
    if len(sql) > MOST_SQL_CHARACTERS:
        raise QueryError(f"the query has more than {MOST_SQL_CHARACTERS:,} characters", todo="ask for less")
    return sql
