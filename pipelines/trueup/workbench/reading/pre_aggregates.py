"""Pre-aggregates of the page Explore: what each user defined, and the tables in memory that hold their rows.

Mosaic, the library of the charts, names a pre-aggregate by a short hash of its query, and assumes that it stays. Another user could
take the same name for another query. So a name belongs to the user who defined it, and a table is named by its query alone. A new
copy of the views has no tables: each is created again when a query reads it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import duckdb

from trueup.config import SqlConfig
from trueup.warehouse.access import guard
from trueup.workbench.reading.statements import statement_text
from trueup.workbench.reading.view_copy import CopyVersion, attached

MOST_AGGREGATES = 500
"""Largest number of definitions of one user, and of tables; beyond it, the one that was unused for longest is dropped."""
_EXPLORED = ("findings", "suspicious_transactions")
_QUOTED_NAME = re.compile(r'"(preagg_[0-9a-f]{1,32})"', re.IGNORECASE)


class Definitions:
    """The queries of pre-aggregates, by user and name."""

    def __init__(self) -> None:
        self._of_user: dict[str, OrderedDict[str, str]] = {}
        self._lock = threading.Lock()

    def add(self, user: str, name: str, query: str) -> None:
        """Define a pre-aggregate of a user, or replace its query."""
        with self._lock:
            own = self._of_user.setdefault(user, OrderedDict())
            own[name] = query
            own.move_to_end(name)
            if len(own) > MOST_AGGREGATES:
                own.popitem(last=False)

    def queries_in(self, user: str, sql: str) -> list[str]:
        """Return the queries of the pre-aggregates that a text names, each once."""
        with self._lock:
            own = self._of_user.get(user, OrderedDict())
            named = [name for name in dict.fromkeys(_list_names(sql)) if name in own]
            for name in named:
                own.move_to_end(name)
            return [own[name] for name in named]

    def resolve(self, user: str, sql: str) -> str:
        """Return a text that names the tables of the user's pre-aggregates; other names stay as they are."""
        with self._lock:
            own = dict(self._of_user.get(user, {}))

        def table_of(match: re.Match[str]) -> str:
            query = own.get(match[1].lower())
            return match[0] if query is None else f'"{table_name(query)}"'

        return _QUOTED_NAME.sub(table_of, sql)


class BrowserDatabase:
    """One locked DuckDB with a copy attached; `version` is the copy. It is closed once it is replaced and no longer read."""

    def __init__(self, version: CopyVersion, spill: TemporaryDirectory[str], bounds: SqlConfig) -> None:
        self.version, self.readers, self.replaced = version, 0, False
        self._spill = spill
        self._tables: OrderedDict[str, None] = OrderedDict()
        self._creating = threading.Lock()
        self._root = attached(version.path)
        for table in _EXPLORED:
            self._root.execute(f"CREATE VIEW memory.main.{table} AS {statement_text(f'explore/{table}')}")
        guard.lock(self._root, self._spill.name, self._spill.name, bounds)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a further connection to the database."""
        return self._root.cursor()

    def aggregate(self, connection: duckdb.DuckDBPyConnection, query: str) -> None:
        """Create the table of a permitted query, unless the database has it."""
        name = table_name(query)
        with self._creating:
            if name not in self._tables:
                connection.execute(f'CREATE TABLE IF NOT EXISTS memory.main."{name}" AS {query}')
            self._tables[name] = None
            self._tables.move_to_end(name)
            if len(self._tables) > MOST_AGGREGATES:
                unused, _ = self._tables.popitem(last=False)
                connection.execute(f'DROP TABLE IF EXISTS memory.main."{unused}"')

    def close(self) -> None:
        """Close the database, and delete its temporary files."""
        self._root.close()
        self._spill.cleanup()


def table_name(query: str) -> str:
    """Return the name of the table with the rows of a query."""
    return f"aggregate_{hashlib.sha256(query.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _list_names(sql: str) -> Iterator[str]:
    return (name.lower() for name in _QUOTED_NAME.findall(sql))
