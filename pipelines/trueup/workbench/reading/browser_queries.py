"""Queries that the browser itself sends: cross-filters of the page Explore, under the guard.

The queries run in a separate DuckDB, with the copy of the views attached read-only. This DuckDB is locked like `trueup sql`: no
file, no network, no setting. Each text is checked in DuckDB's own parse tree. The one thing a browser may create is a
pre-aggregate of a permitted SELECT (`pre_aggregates.py`).
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from trueup.config import SqlConfig
from trueup.errors import QueryError
from trueup.units import MICROS
from trueup.warehouse.access import guard
from trueup.warehouse.access.bounds import TimeLimit, naming_limits
from trueup.warehouse.query import ROWS_AT_ONCE, errors_as_duckdb
from trueup.workbench.reading.pre_aggregates import BrowserDatabase, Definitions
from trueup.workbench.reading.view_copy import ViewCopy

if TYPE_CHECKING:
    import pyarrow as pa

MOST_SQL_CHARACTERS = 100_000
MOST_ANSWER_BYTES = 64 << 20
_LONGEST_US = 20 * MICROS
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
        self._database: BrowserDatabase | None = None
        self._definitions = Definitions()

    def arrow(self, user: str, sql: str) -> bytes:
        """Return the answer to one SELECT as an Arrow IPC stream; raise `QueryError` for any other text.

        A pre-aggregate in it is the one that this user defined; a new copy of the views has it too.
        """
        _check_length(sql)
        with self._reading() as (database, connection):
            for query in self._definitions.queries_in(user, sql):
                database.aggregate(connection, query)
            text = guard.permitted_statement(connection, self._definitions.resolve(user, sql))
            with errors_as_duckdb():
                return _write_stream(connection.execute(text).to_arrow_reader(ROWS_AT_ONCE))

    def execute(self, user: str, sql: str) -> None:
        """Create a pre-aggregate; raise `QueryError` for any other text."""
        _check_length(sql)
        for text in filter(str.strip, sql.split(";\n")):
            if not _SCHEMA.fullmatch(text):
                self._create_aggregate(user, text.rstrip().rstrip(";"))

    def close(self) -> None:
        """Close the browser's database."""
        with self._lock:
            self._retire()

    def _create_aggregate(self, user: str, text: str) -> None:
        match = _AGGREGATE.fullmatch(text)
        if match is None:
            raise QueryError("a browser may create nothing but a pre-aggregate", todo=_TODO)
        with self._reading() as (database, connection):
            query = guard.permitted_statement(connection, match["query"])
            if connection.extract_statements(query)[0].type != duckdb.StatementType.SELECT:
                raise QueryError("a pre-aggregate is of one SELECT", todo=_TODO)
            database.aggregate(connection, query)
            self._definitions.add(user, match["name"].lower(), query)

    @contextmanager
    def _reading(self) -> Iterator[tuple[BrowserDatabase, duckdb.DuckDBPyConnection]]:
        """Yield the database of the newest copy and a connection to it; bound the time, and turn errors into `QueryError`."""
        database = self._enter_newest()
        try:
            with database.cursor() as connection, TimeLimit(connection, self._bounds) as time_limit:
                try:
                    with naming_limits(self._bounds, time_limit):
                        yield database, connection
                except duckdb.Error as error:
                    raise QueryError(guard.duckdb_error_line(error), todo=_TODO) from None
        finally:
            with self._lock:
                database.readers -= 1
                if database.replaced and not database.readers:
                    database.close()

    def _enter_newest(self) -> BrowserDatabase:
        """Return the database of the newest copy, counted as read."""
        newest = self._copy.current
        with self._lock:
            if self._database is None or self._database.version is not newest:
                # While it is read, no later copy deletes this one.
                with self._copy.reading() as (version, _):
                    database = BrowserDatabase(version, self._copy.folder.new_folder("spill"), self._bounds)
                self._retire()
                self._database = database
            self._database.readers += 1
            return self._database

    def _retire(self) -> None:
        """Close the database, or let its last reader close it."""
        database, self._database = self._database, None
        if database is not None:
            database.replaced = True
            if not database.readers:
                database.close()


def _write_stream(reader: pa.RecordBatchReader) -> bytes:
    """Return batches as an Arrow IPC stream; raise `QueryError` as soon as they are too large."""
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, reader.schema) as writer:
        for batch in reader:
            if sink.tell() + batch.nbytes > MOST_ANSWER_BYTES:
                raise QueryError("the answer is larger than a browser should hold", todo="ask for less")
            writer.write_batch(batch)
    return sink.getvalue()


def _check_length(sql: str) -> None:
    if len(sql) > MOST_SQL_CHARACTERS:
        raise QueryError(f"the query has more than {MOST_SQL_CHARACTERS:,} characters", todo="ask for less")
