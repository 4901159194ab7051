"""Great Expectations over DuckDB: its SQL engine on a connection that stays open.

The library's engine closes its connection before it fetches, and DuckDB's result is lost with the connection. The method that
provides connections is public and meant to be overridden per dialect. Here it returns the same connection each time.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

# Set before the import, which reads it: no usage statistics leave the machine.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

import duckdb
import great_expectations as gx
import sqlalchemy as sa
from duckdb_engine import ConnectionWrapper
from great_expectations.compatibility.pydantic import PrivateAttr, ValidationError
from great_expectations.core.batch import Batch, BatchMarkers
from great_expectations.datasource.fluent import SQLDatasource
from great_expectations.exceptions import ExpectationNotFoundError
from great_expectations.execution_engine import SqlAlchemyExecutionEngine
from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
from great_expectations.expectations.metrics.map_metric_provider import ColumnMapMetricProvider, column_condition_partial
from great_expectations.expectations.registry import get_expectation_impl
from great_expectations.validator.validator import Validator

from trueup.config import Project
from trueup.errors import ConfigError
from trueup.log.catalog.catalogs import catalog_of
from trueup.log.catalog.instances import acquire, release
from trueup.log.place import data_path
from trueup.quality.expectation import Expectation, Fact
from trueup.quality.row_rules import FORMS, checked

_SEVERITY = {"quarantine": "critical", "block": "critical", "mark": "warning", "note": "info"}
"""The library's names of our severities; the gate uses ours, which the suite stores in addition."""


BATCH = "batch"
"""The name of the table or view that holds the day under validation."""
_OF_THE_TABLE = ("table.columns", "table.column_types")


class DuckdbExecutionEngine(SqlAlchemyExecutionEngine):  # type: ignore[misc]
    """The library's SQL engine, on one connection that outlives every fetch.

    Over a lake a batch is the content of `BATCH`. The queries read a copy of the records, and all days of a feed have the same
    columns.
    """

    @contextmanager
    def get_connection(self) -> Iterator[Any]:
        """Yield the one connection; it is closed with the engine, not after each query."""
        if getattr(self, "held", None) is None:
            self.held = self.engine.connect()
        yield self.held

    def get_batch_data_and_markers(self, batch_spec: Any) -> tuple[Any, Any]:
        """Return the day that `BATCH` holds, regardless of the query that read it from the lake."""
        data = SqlAlchemyBatchData(execution_engine=self, table_name=BATCH, create_temp_table=False)
        return data, BatchMarkers({"ge_load_time": datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")})

    def resolve_metrics(
        self, metrics_to_resolve: Collection[Any], metrics: dict[Any, Any] | None = None, runtime_configuration: Any = None
    ) -> dict[Any, Any]:
        """Return the values of metrics by id; the columns are read once, because that takes as long as all other queries."""
        columns = self.__dict__.setdefault("columns", {})
        known = {m.id: columns[m.id] for m in metrics_to_resolve if m.id in columns}
        found = super().resolve_metrics([m for m in metrics_to_resolve if m.id not in known], metrics, runtime_configuration)
        columns |= {m.id: found[m.id] for m in metrics_to_resolve if m.metric_name in _OF_THE_TABLE and m.id in found}
        return {**known, **found}

    def close(self) -> None:
        """Close the engine and, if it reads a lake, release the connection to the lake."""
        super().close()
        if (lake := getattr(self, "lake", None)) is not None:
            self.lake = None
            release(lake)


class DuckdbMatchesPattern(ColumnMapMetricProvider):  # type: ignore[misc]
    """Pattern matching on DuckDB, which the library does not support; it searches, as in the library's other engines."""

    condition_metric_name = "column_values.match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=DuckdbExecutionEngine)  # type: ignore[untyped-decorator]
    def _sqlalchemy(cls, column: Any, regex: str, **_: Any) -> Any:
        return sa.func.regexp_matches(column, regex)


class DuckdbMatchesNoPattern(ColumnMapMetricProvider):  # type: ignore[misc]
    """The negation of `DuckdbMatchesPattern`."""

    condition_metric_name = "column_values.not_match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=DuckdbExecutionEngine)  # type: ignore[untyped-decorator]
    def _sqlalchemy(cls, column: Any, regex: str, **_: Any) -> Any:
        return sa.not_(sa.func.regexp_matches(column, regex))


class LakeDatasource(SQLDatasource):  # type: ignore[misc]
    """The lake of a project, read only, as a data source of the library."""

    type: Literal["trueup_lake"] = "trueup_lake"
    connection_string: str = "duckdb:///:memory:"
    project_directory: str = "."
    _opened: Any = PrivateAttr(None)

    @property
    def execution_engine_type(self) -> Any:
        """The class that Great Expectations creates to run queries on this data source."""
        return DuckdbExecutionEngine

    def get_engine(self) -> Any:
        """Return the SQLAlchemy engine over the lake."""
        return self.get_execution_engine().engine

    def get_execution_engine(self) -> Any:
        """Return one engine for the lifetime of the data source."""
        if self._opened is None:
            lake = lake_connection(Project.load(self.project_directory))
            self._opened = DuckdbExecutionEngine(engine=sqlalchemy_engine(lake), create_temp_table=False)
            self._opened.lake = lake
        return self._opened


def lake_connection(project: Project) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection with the lake attached read-only; `release` closes it."""
    return acquire(catalog_of(project), data_path(project), read_only=True)


def sqlalchemy_engine(connection: duckdb.DuckDBPyConnection) -> sa.Engine:
    """Return an SQLAlchemy engine with a second connection to the same database, so that closing it closes no other."""
    further = connection.cursor()
    further.execute("SET TimeZone = 'UTC'")
    return sa.create_engine(
        "duckdb://", creator=lambda: ConnectionWrapper(further), poolclass=sa.pool.StaticPool, pool_reset_on_return=None
    )


def impl(expectation: Expectation, **renamed: str) -> Any:
    """Return an expectation as an object of the library; row rules have the arguments that were compiled.

    A `Fact` becomes a parameter of its name: each validation gives its own value, so that the suite stays the same.
    """
    arguments = dict(expectation.arguments)
    form = FORMS.get(expectation.type)
    if form is not None and expectation.severity == "quarantine":
        arguments = dict(checked(expectation, form, f"expectation {expectation.name!r}"))
    parameters = {name: {"$PARAMETER": value.name} for name, value in arguments.items() if isinstance(value, Fact)}
    arguments |= parameters | renamed
    meta = {"name": expectation.name, "severity": expectation.severity, "stream": expectation.stream}
    return get_expectation_impl(expectation.type)(
        **arguments, notes=expectation.notes, severity=_SEVERITY[expectation.severity], meta=meta
    )


def check_meant(expectation: Expectation) -> None:
    """Raise `ConfigError` for an expectation that the library does not have, or has with other arguments.

    An expectation with a `Fact`, whose value comes from the log, is not checked.
    """
    if any(isinstance(value, Fact) for value in expectation.arguments.values()):
        return
    where = f"expectation {expectation.name!r} of {expectation.stream}"
    try:
        impl(expectation)
    except ExpectationNotFoundError:
        raise ConfigError(
            f"Great Expectations has no {expectation.type}", where=where, todo="correct `type`, or register it in your Python file"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        named = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{expectation.type} has unusable arguments: {named}: {first['msg']}", where=where, todo="correct `arguments`"
        ) from None


def validated(
    connection: duckdb.DuckDBPyConnection, table: str, expectations: Sequence[Any], *, index: Sequence[str] = ()
) -> list[Any]:
    """Return the library's results on one table, in the order of the expectations; `index` columns identify the rows."""
    engine = DuckdbExecutionEngine(engine=sqlalchemy_engine(connection), create_temp_table=False)
    batch = Batch(data=SqlAlchemyBatchData(execution_engine=engine, table_name=table, create_temp_table=False))
    validator = Validator(execution_engine=engine, batches=[batch])
    result_format: dict[str, Any] = {"result_format": "COMPLETE", "unexpected_index_column_names": list(index)}
    # The library returns failed computations first, so each result needs its number.
    numbered = [e.configuration for e in expectations]
    for number, configuration in enumerate(numbered):
        configuration.meta = {**(configuration.meta or {}), "number": number}
    results = validator.graph_validate(configurations=numbered, runtime_configuration={"result_format": result_format})
    return sorted(results, key=lambda result: int(result.expectation_config.meta["number"]))


__all__ = [
    "BATCH", "DuckdbExecutionEngine", "LakeDatasource", "check_meant", "gx", "impl", "lake_connection", "sqlalchemy_engine",
    "validated",
]  # fmt: skip
