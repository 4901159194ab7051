"""Asking the warehouse: a fresh connection for each question, and again when the catalog was locked for a moment."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import tenacity

from trueup.config import Project
from trueup.errors import LogBusyError, LogError, QueryError
from trueup.log.lake import Lake, data_path
from trueup.warehouse import guard, views
from trueup.warehouse.asof import AsOf, resolve
from trueup.warehouse.statements import statement

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

_TRANSIENT = ("database is locked", "database table is locked", "SQLITE_BUSY")
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
    """The rows of a query; `columns` may repeat a name, as SQL allows. `plan` says that it is an EXPLAIN."""

    columns: tuple[str, ...]
    table: pa.Table
    plan: bool = False

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Rows as Python values: exact decimals, times in UTC. Raises `QueryError` for a time Python cannot hold."""
        for batch in self.table.to_batches(max_chunksize=4096):
            try:
                columns = [column.to_pylist() for column in batch.columns]
            except (OverflowError, ValueError) as error:
                raise QueryError(f"a value cannot be written: {error}", todo="cast its column to VARCHAR") from None
            yield from zip(*columns, strict=True)


@contextmanager
def opened(project: Project, as_of: str | None = None, *, private: bool = False) -> Iterator[Warehouse]:
    """A warehouse to read from; `as_of` is a position, time or day. Raises `LogError` or `QueryError`.

    One that is to be locked must be `private`: the settings of `guard.lock` hold for all connections of an instance.
    """
    with Lake.open(project, read_only=True, private=private) as lake:
        point = resolve(lake, as_of) if as_of is not None else None
        views.look(lake.connection, project, point)
        yield Warehouse(lake, point)


def asked(project: Project, question: Callable[[Warehouse], T], as_of: str | None = None, *, private: bool = False) -> T:
    """What `question` finds in a warehouse opened for it; asked again from the start when the catalog was locked.

    The catalog's readers are not locked out by its writer, but at the turn of its journal they can be for a moment.
    Raises `LogBusyError` when it stays locked, `QueryError` for what DuckDB refuses.
    """
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(LogBusyError),
        stop=tenacity.stop_after_attempt(10),
        wait=tenacity.wait_random_exponential(multiplier=0.02, max=2),
        reraise=True,
    ):
        with attempt, _transient_told(), opened(project, as_of, private=private) as warehouse:
            return question(warehouse)
    raise AssertionError("a retry loop either returns or raises")


def run(project: Project, sql: str, as_of: str | None = None) -> Answer:
    """The answer to a person's query: exactly one SELECT or EXPLAIN. Raises `QueryError` for anything else."""
    with tempfile.TemporaryDirectory(prefix="trueup-sql-") as spill:
        return asked(project, lambda warehouse: _answer(warehouse, sql, spill), as_of, private=True)


def _answer(warehouse: Warehouse, sql: str, spill: str) -> Answer:
    connection = warehouse.lake.connection
    views.create(connection, sql)
    guard.lock(connection, data_path(warehouse.lake.project), spill)
    return answer(connection, sql)


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> Answer:
    """The answer to one SELECT or EXPLAIN on a connection that `guard.lock` has shut; raises `QueryError` for another text."""
    result = connection.execute(guard.permitted(connection, sql))
    described = result.description or []
    for name, dtype, *_ in described:
        if any(untold in str(dtype) for untold in _UNTOLD_TYPES):
            raise QueryError(f"the column {name!r} is of type {dtype}, which cannot be written exactly", todo="cast it to VARCHAR")
    columns = tuple(str(column[0]) for column in described)
    return Answer(columns, result.to_arrow_table(), plan=columns == ("explain_key", "explain_value"))


@contextmanager
def _transient_told() -> Iterator[None]:
    """Turns what DuckDB says into errors of ours: a lock into `LogBusyError`, anything else into `QueryError`."""
    try:
        yield
    except duckdb.Error as error:
        if is_transient(error):
            raise LogBusyError("the catalog is locked by a writer", todo="ask again") from error
        raise QueryError(guard.told(error), todo="correct the query") from None
    except LogError as error:
        if is_transient(error):
            raise LogBusyError("the catalog is locked by a writer", todo="ask again") from error
        raise


def is_transient(error: Exception) -> bool:
    """Whether an error only says that the catalog was locked for a moment."""
    return any(words in str(error) for words in _TRANSIENT)
