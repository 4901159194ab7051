"""Compute the steps that several queries read once, as temporary tables.

A view expands all views that it reads, again for each place in which it reads them. Several queries in a row, such as those of
`publish` and of the audits, would plan and compute the same steps many times.
"""

from __future__ import annotations

import re

import duckdb

from trueup.warehouse import install_views

_READ = re.compile(r"\b(main|steps)\.(\w+)")


class SharedSteps:
    """Steps of one connection as temporary tables; with `with_views` the views of `main` as well.

    Steps of single records stay views, because a copy of them would be one of the log. The session variables of the connection may
    not change before `drop`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, with_views: bool = False) -> None:
        self._connection = connection
        self._shared = {"steps", "main"} if with_views else {"steps"}
        self._tables: dict[tuple[str, str], str] = {}

    def read(self, query: str) -> str:
        """Return a query that reads temporary tables instead of steps, and compute those that are not there yet."""
        for schema, name in _READ.findall(query):
            self._compute(schema, name)
        return _READ.sub(lambda found: self._tables.get((found[1], found[2]), found[0]), query)

    def drop(self) -> None:
        """Drop the temporary tables."""
        for table in self._tables.values():
            self._connection.execute(f"DROP TABLE {table}")
        self._tables.clear()

    def _compute(self, schema: str, name: str) -> None:
        is_known = name in (install_views.STEPS if schema == "steps" else install_views.VIEWS)
        if not is_known or (schema, name) in self._tables:
            return
        query = self.read(install_views.view_statement(name).text)
        if schema in self._shared and name not in install_views.STEPS_OF_RECORDS:
            table = f"temp.main.{schema}_{name}"
            self._connection.execute(f"CREATE TEMP TABLE {schema}_{name} AS {query}")
            self._tables[schema, name] = table
