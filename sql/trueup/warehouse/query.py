"""Queries of the warehouse: a connection for each, repeated when the catalog was locked for a moment."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import tenacity

from trueup.config import Project, SqlConfig
from trueup.errors import LogBusyError, LogError, QueryError
from trueup.log.lake import Lake
from trueup.log.place import data_path
from trueup.warehouse import install_views
from trueup.warehouse.access import guard
from trueup.warehouse.access.bounds import TimeLimit, interruptible, naming_limits, parts, too_large, weight_bytes
from trueup.warehouse.asof import AsOf, resolve
from trueup.warehouse.statements import statement

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

_TRANSIENT = ("database is locked", "database table is locked", "SQLITE_BUSY")
ROWS_AT_ONCE = 2048
"""Rows that DuckDB hands over at a time: one of its vectors."""
CORRECT = "correct the query"
_UNSUPPORTED_TYPES = ("UHUGEINT", "VARIANT", "BIT", "TIME WITH TIME ZONE", "GEOMETRY", "BIGNUM")


@dataclass(frozen=True)
class Warehouse:
    """An open connection with the lake attached read-only; its views read the log as of one point."""

    lake: Lake
    as_of: AsOf | None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """Return the DuckDB connection itself, with all views installed."""
        install_views.create_views(self.lake.connection)
        return self.lake.connection

    def table(self, path: str, values: Mapping[str, object] | Sequence[object] = ()) -> pa.Table:
        """Return the result of a query file, such as `queries/findings/finding`, with its values bound."""
        return self._execute_query(path, values).to_arrow_table()

    def rows(self, path: str, values: Mapping[str, object] | Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return the result of a query file as one dictionary per row."""
        result = self._execute_query(path, values)
        columns = [column[0] for column in result.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]

    def _execute_query(self, path: str, values: Mapping[str, object] | Sequence[object]) -> duckdb.DuckDBPyConnection:
        text = statement(path).text
        # A query reads a few of some thirty views; only those are created.
        install_views.create_views(self.lake.connection, text)
        return self.lake.connection.execute(text, values)


@dataclass(frozen=True)
class Answer:
    """The result of a user query, read row by row; `columns` may repeat a name, as SQL allows. `plan`: it is an EXPLAIN."""

    columns: tuple[str, ...]
    connection: duckdb.DuckDBPyConnection
    reader: pa.RecordBatchReader
    bounds: SqlConfig
    plan: bool = False
    time_limit: TimeLimit | None = None

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows once, as Python values: exact decimals, times in UTC. Memory holds a few rows at a time.

        Raises `QueryError` for a time that Python cannot represent, and for an exceeded limit.
        """
        for batch in self._read_batches():
            yield from self._rows_of(batch)

    def first_rows(self, most: int) -> tuple[list[tuple[Any, ...]], bool]:
        """Return the first rows, and whether there are more; raise `QueryError` where they are larger than `memory` together."""
        rows: list[tuple[Any, ...]] = []
        weight = 0
        for batch in self._read_batches():
            shown = batch.slice(0, most - len(rows))
            weight += weight_bytes(shown)
            if weight > self.bounds.memory:
                raise too_large(f"the first {len(rows) + shown.num_rows:,} rows take", weight, self.bounds)
            rows += self._rows_of(shown)
            if batch.num_rows > shown.num_rows:
                return rows, True
        return rows, False

    def _rows_of(self, batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
        for part in parts(batch, self.bounds):
            try:
                columns = [column.to_pylist() for column in part.columns]
            except (OverflowError, ValueError) as error:
                raise QueryError(f"a value cannot be written: {error}", todo="cast its column to VARCHAR") from None
            for row in zip(*columns, strict=True):
                self._check_time()
                yield row

    def _read_batches(self) -> Iterator[pa.RecordBatch]:
        while True:
            self._check_time()
            try:
                with errors_as_duckdb():
                    batch = interruptible(self.connection, self.reader.read_next_batch)
            except StopIteration:
                return
            yield batch

    def _check_time(self) -> None:
        if self.time_limit is not None:
            self.time_limit.check()


@contextmanager
def errors_as_duckdb() -> Iterator[None]:
    """Turn errors of a streamed answer into those of DuckDB: they pass through Arrow, which keeps only their text."""
    from pyarrow import ArrowException  # A command without a query starts sooner without it.

    try:
        yield
    except MemoryError:
        raise
    except (OSError, ArrowException) as error:
        raise duckdb.Error(str(error)) from None


@contextmanager
def open_warehouse(project: Project, as_of: str | None = None, *, private: bool = False) -> Iterator[Warehouse]:
    """Open a warehouse for reading; `as_of` is a position, time or day. Raises `LogError` or `QueryError`.

    A connection that will be locked must be `private`: the settings of `guard.lock` apply to all connections of an instance.
    """
    with Lake.open(project, read_only=True, private=private) as lake:
        point = resolve(lake, as_of) if as_of is not None else None
        install_views.set_variables(lake.connection, project, point)
        yield Warehouse(lake, point)


def with_retries(
    project: Project,
    question: Callable[[Warehouse], T],
    as_of: str | None = None,
    *,
    todo: str = "report it: the query is part of trueup",
) -> T:
    """Call `question` with a warehouse opened for it and return its result; repeat from the start when the catalog was locked.

    A writer does not lock readers out of the catalog, except for a moment when its journal turns over. Raises `LogBusyError` when
    the catalog stays locked, `DamagedError` for a damaged file, and `QueryError` with `todo` for any other error of DuckDB.
    """
    for attempt in _build_retrying():
        with attempt, _translate_errors(todo), open_warehouse(project, as_of) as warehouse:
            return question(warehouse)
    raise AssertionError("a retry loop either returns or raises")


def _build_retrying() -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(LogBusyError),
        stop=tenacity.stop_after_attempt(10),
        wait=tenacity.wait_random_exponential(multiplier=0.02, max=2),
        reraise=True,
    )


@contextmanager
def run(
    project: Project,
    sql: str,
    as_of: str | None = None,
    *,
    bounds: SqlConfig | None = None,
    overdue: Callable[[QueryError], None] | None = None,
) -> Iterator[Answer]:
    """Run a user query, exactly one SELECT or EXPLAIN, and give its answer, to be read within the context.

    `bounds` default to the settings of the project. `overdue` is called with the error of a query that does not stop when it is
    interrupted. Raises `QueryError` for any other text, for an error of DuckDB and for an exceeded limit.
    """
    limits = bounds or project.config.sql
    with tempfile.TemporaryDirectory(prefix="trueup-sql-") as spill, ExitStack() as until_read:

        def give_up(error: QueryError) -> None:
            shutil.rmtree(spill, ignore_errors=True)
            if overdue is not None:
                overdue(error)

        for attempt in _build_retrying():
            with attempt, _translate_errors(CORRECT), ExitStack() as opening:
                warehouse = opening.enter_context(open_warehouse(project, as_of, private=True))
                connection = warehouse.lake.connection
                time_limit = opening.enter_context(TimeLimit(connection, limits, give_up if overdue else None))
                with naming_limits(limits, time_limit):
                    install_views.create_views(connection, sql)
                    guard.lock(connection, data_path(project), spill, limits)
                    result = answer(connection, sql, limits, time_limit)
                until_read.push(opening.pop_all())
        with _translate_errors(CORRECT), naming_limits(limits, time_limit):
            yield result


def answer(
    connection: duckdb.DuckDBPyConnection, sql: str, bounds: SqlConfig | None = None, time_limit: TimeLimit | None = None
) -> Answer:
    """Run one SELECT or EXPLAIN on a connection closed by `guard.lock`; raise `QueryError` for any other text."""
    text = guard.permitted_statement(connection, sql)
    result = interruptible(connection, lambda: connection.execute(text))
    described = result.description or []
    for name, dtype, *_ in described:
        if any(unsupported in str(dtype) for unsupported in _UNSUPPORTED_TYPES):
            raise QueryError(f"the column {name!r} is of type {dtype}, which cannot be written exactly", todo="cast it to VARCHAR")
    columns = tuple(str(column[0]) for column in described)
    plan = columns == ("explain_key", "explain_value")
    return Answer(columns, connection, result.to_arrow_reader(ROWS_AT_ONCE), bounds or SqlConfig(), plan, time_limit)


@contextmanager
def _translate_errors(todo: str) -> Iterator[None]:
    """Turn errors of DuckDB into `TrueupError`s: a lock into `LogBusyError`, any other into `QueryError` with `todo`.

    An error caused by a damaged file has been translated before it arrives here.
    """
    try:
        yield
    except duckdb.Error as error:
        if is_transient(error):
            raise LogBusyError("the catalog is locked by a writer", todo="try again") from error
        raise QueryError(guard.duckdb_error_line(error), todo=todo) from None
    except LogError as error:
        if is_transient(error):
            raise LogBusyError("the catalog is locked by a writer", todo="try again") from error
        raise


def is_transient(error: Exception) -> bool:
    """Return whether an error only means that the catalog was locked for a moment."""
    return any(words in str(error) for words in _TRANSIENT)
