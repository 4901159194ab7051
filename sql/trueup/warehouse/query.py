"""Asking the warehouse: a fresh connection for each question, and again when the catalog was locked for a moment."""

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
from trueup.warehouse import guard, views
from trueup.warehouse.asof import AsOf, resolve
from trueup.warehouse.bounds import TimeLimit, interruptible, naming_limits, parts
from trueup.warehouse.statements import statement

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

_TRANSIENT = ("database is locked", "database table is locked", "SQLITE_BUSY")
ROWS_AT_ONCE = 2048
"""How many rows DuckDB hands over at a time: one of its vectors."""
CORRECT = "correct the query"
_UNTOLD_TYPES = ("UHUGEINT", "VARIANT", "BIT", "TIME WITH TIME ZONE", "GEOMETRY", "BIGNUM")


@dataclass(frozen=True)
class Warehouse:
    """An open connection with the lake attached read-only, whose views look as of one point."""

    lake: Lake
    as_of: AsOf | None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB connection itself, with all views installed."""
        views.create(self.lake.connection)
        return self.lake.connection

    def ask(self, path: str, values: Mapping[str, object] | Sequence[object] = ()) -> pa.Table:
        """The answer to a query file of this package, such as `queries/members`, with its values bound."""
        return self._executed(path, values).to_arrow_table()

    def rows(self, path: str, values: Mapping[str, object] | Sequence[object] = ()) -> list[dict[str, Any]]:
        """The same as one dictionary for each row."""
        result = self._executed(path, values)
        columns = [column[0] for column in result.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]

    def _executed(self, path: str, values: Mapping[str, object] | Sequence[object]) -> duckdb.DuckDBPyConnection:
        text = statement(path).text
        # Of some thirty views a query reads a few.
        views.create(self.lake.connection, text)
        return self.lake.connection.execute(text, values)


@dataclass(frozen=True)
class Answer:
    """The rows of a query, read as they are asked for; `columns` may repeat a name, as SQL allows. `plan`: it is an EXPLAIN."""

    columns: tuple[str, ...]
    connection: duckdb.DuckDBPyConnection
    reader: pa.RecordBatchReader
    bounds: SqlConfig
    plan: bool = False
    time_limit: TimeLimit | None = None

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Rows as Python values, once: exact decimals, times in UTC. Memory holds a few of them at a time.

        Raises `QueryError` for a time Python cannot hold, and for a limit that is exceeded.
        """
        for batch in self._batches():
            for part in parts(batch, self.bounds):
                try:
                    columns = [column.to_pylist() for column in part.columns]
                except (OverflowError, ValueError) as error:
                    raise QueryError(f"a value cannot be written: {error}", todo="cast its column to VARCHAR") from None
                for row in zip(*columns, strict=True):
                    self._check_time()
                    yield row

    def _batches(self) -> Iterator[pa.RecordBatch]:
        from pyarrow import ArrowException  # A command without a query starts sooner without it.

        while True:
            self._check_time()
            try:
                batch = interruptible(self.connection, self.reader.read_next_batch)
            except StopIteration:
                return
            except MemoryError:
                raise
            except (OSError, ArrowException) as error:
                # What DuckDB says while it streams comes through Arrow, as its text alone.
                raise duckdb.Error(str(error)) from None
            yield batch

    def _check_time(self) -> None:
        if self.time_limit is not None:
            self.time_limit.check()


@contextmanager
def open_warehouse(project: Project, as_of: str | None = None, *, private: bool = False) -> Iterator[Warehouse]:
    """A warehouse to read from; `as_of` is a position, time or day. Raises `LogError` or `QueryError`.

    One that is to be locked must be `private`: the settings of `guard.lock` hold for all connections of an instance.
    """
    with Lake.open(project, read_only=True, private=private) as lake:
        point = resolve(lake, as_of) if as_of is not None else None
        views.look(lake.connection, project, point)
        yield Warehouse(lake, point)


def with_retries(
    project: Project, question: Callable[[Warehouse], T], as_of: str | None = None, *, todo: str = "report it: it is trueup's query"
) -> T:
    """What `question` finds in a warehouse opened for it; asked again from the start when the catalog was locked.

    The catalog's readers are not locked out by its writer, but at the turn of its journal they can be for a moment.
    Raises `LogBusyError` when it stays locked, `DamagedError` for a damaged file, `QueryError` with `todo` for what DuckDB refuses
    otherwise.
    """
    for attempt in _attempts():
        with attempt, _errors_translated(todo), open_warehouse(project, as_of) as warehouse:
            return question(warehouse)
    raise AssertionError("a retry loop either returns or raises")


def _attempts() -> tenacity.Retrying:
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
    """The answer to a person's query, exactly one SELECT or EXPLAIN, to be read within the context.

    `bounds` are those of the project unless given. `overdue` is called with the error of a query that goes on although it is
    interrupted. Raises `QueryError` for any other text, for what DuckDB refuses and for a limit that is exceeded.
    """
    limits = bounds or project.config.sql
    with tempfile.TemporaryDirectory(prefix="trueup-sql-") as spill, ExitStack() as until_read:

        def give_up(error: QueryError) -> None:
            shutil.rmtree(spill, ignore_errors=True)
            if overdue is not None:
                overdue(error)

        for attempt in _attempts():
            with attempt, _errors_translated(CORRECT), ExitStack() as opening:
                warehouse = opening.enter_context(open_warehouse(project, as_of, private=True))
                connection = warehouse.lake.connection
                time_limit = opening.enter_context(TimeLimit(connection, limits, give_up if overdue else None))
                with naming_limits(limits, time_limit):
                    views.create(connection, sql)
                    guard.lock(connection, data_path(project), spill, limits)
                    found = answer(connection, sql, limits, time_limit)
                until_read.push(opening.pop_all())
        with _errors_translated(CORRECT), naming_limits(limits, time_limit):
            yield found


def answer(
    connection: duckdb.DuckDBPyConnection, sql: str, bounds: SqlConfig | None = None, time_limit: TimeLimit | None = None
) -> Answer:
    """The answer to one SELECT or EXPLAIN on a connection that `guard.lock` has shut; raises `QueryError` for another text."""
    text = guard.permitted(connection, sql)
    result = interruptible(connection, lambda: connection.execute(text))
    described = result.description or []
    for name, dtype, *_ in described:
        if any(untold in str(dtype) for untold in _UNTOLD_TYPES):
            raise QueryError(f"the column {name!r} is of type {dtype}, which cannot be written exactly", todo="cast it to VARCHAR")
    columns = tuple(str(column[0]) for column in described)
    plan = columns == ("explain_key", "explain_value")
    return Answer(columns, connection, result.to_arrow_reader(ROWS_AT_ONCE), bounds or SqlConfig(), plan, time_limit)


@contextmanager
def _errors_translated(todo: str) -> Iterator[None]:
    """Turns what DuckDB says into errors of ours: a lock into `LogBusyError`, anything else into `QueryError` with `todo`.

    What a damaged file causes is an error of ours already when it comes here.
    """
    try:
        yield
    except duckdb.Error as error:
        if is_transient(error):
            raise LogBusyError("the catalog is locked by a writer", todo="ask again") from error
        raise QueryError(guard.duckdb_error_line(error), todo=todo) from None
    except LogError as error:
        if is_transient(error):
            raise LogBusyError("the catalog is locked by a writer", todo="ask again") from error
        raise


def is_transient(error: Exception) -> bool:
    """Whether an error only says that the catalog was locked for a moment."""
    return any(words in str(error) for words in _TRANSIENT)
