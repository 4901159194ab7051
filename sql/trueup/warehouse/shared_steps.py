"""Compute the steps that several queries read once, as temporary tables.

A view expands all views that it reads, again for each place in which it reads them. Several queries in a row, such as those of
`publish` and of the audits, would plan and compute the same steps many times.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import duckdb

from trueup.warehouse import install_views

_READ = re.compile(r"\b(main|steps|lake\.events)\.(\w+)")
Source = tuple[str, str]
"""A view, a step or a table of the log: (`main`, name), (`steps`, name) or (`lake.events`, name)."""


class SharedSteps:
    """Steps of one connection as temporary tables; with `with_views` the views of `main` as well.

    `given` names tables or subqueries that are read instead of steps, views and tables of the log, and that are not computed.
    Steps of single records stay views, because a copy would be as large as the log. The session variables of the connection may not
    change before `drop`.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, *, with_views: bool = False, given: Mapping[Source, str] | None = None
    ) -> None:
        self._connection = connection
        self._shared = {"steps", "main"} if with_views else {"steps"}
        self._tables: dict[Source, str] = {}
        self._given = dict(given or {})

    def read(self, query: str) -> str:
        """Return a query that reads temporary tables instead of steps, and compute those that are not there yet."""
        for schema, name in _READ.findall(query):
            self._compute(schema, name)
        return _READ.sub(lambda found: self._find_source((found[1], found[2])) or found[0], query)

    def read_view(self, name: str) -> str:
        """Return the query of a view or step, as `read` does."""
        return self.read(install_views.view_statement(name).text)

    def give(self, source: Source, table: str) -> None:
        """Have later queries read a table instead of a step or view, and drop the temporary table of the step or view."""
        self._given[source] = table
        if source in self._tables:
            self._connection.execute(f"DROP TABLE {self._tables.pop(source)}")

    def drop(self) -> None:
        """Drop the temporary tables."""
        for table in self._tables.values():
            self._connection.execute(f"DROP TABLE {table}")
        self._tables.clear()

    def _find_source(self, source: Source) -> str | None:
        return self._given.get(source) or self._tables.get(source)

    def _compute(self, schema: str, name: str) -> None:
        known = {"steps": install_views.STEPS, "main": install_views.VIEWS}.get(schema, ())
        if name not in known or self._find_source((schema, name)) is not None:
            return
        query = self.read_view(name)
        if schema in self._shared and name not in install_views.STEPS_OF_RECORDS:
            table = f"temp.main.{schema}_{name}"
            self._connection.execute(f"CREATE TEMP TABLE {schema}_{name} AS {query}")
            self._tables[schema, name] = table
