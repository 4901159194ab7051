"""A copy of the views as tables of a DuckDB file, which all pages read; it is replaced when the lake has changed.

A page that read the views themselves would compute every finding again. The copy is written once for each state of the lake, by a
connection that only reads the lake. Pages and browsers attach the copy read-only, and do not query the lake. Decisions since the
copy are shown in addition to it (`decided.py`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb

from trueup.clock import Clock
from trueup.config import Project
from trueup.errors import LogBusyError
from trueup.log.catalog.connection import localise
from trueup.warehouse.query import Warehouse, with_retries
from trueup.workbench.reading.copy_folder import CopyFolder
from trueup.workbench.reading.copying import quoted, write_copy
from trueup.workbench.reading.decided import Decided
from trueup.workbench.reading.statements import statement_text

if TYPE_CHECKING:
    import pyarrow as pa

Behind = Literal["nothing", "decisions", "more"]
"""The changes of the lake that pages do not show: none; effects of decisions on pages without cases; or more."""


@dataclass
class CopyVersion:
    """One copy, with the lake's snapshot and position that it shows. A copy is deleted once it is replaced and no longer read."""

    path: Path
    snapshot: int
    position: int
    reconciled: int
    copied_at: datetime
    root: duckdb.DuckDBPyConnection = field(repr=False)
    decided: Decided = field(repr=False)
    readers: int = 0
    replaced: bool = False

    def delete(self) -> None:
        """Close and delete the copy."""
        self.root.close()
        self.path.unlink(missing_ok=True)


class ViewCopy:
    """The newest copy of a project's views, and the thread-safe way to read it."""

    def __init__(self, project: Project, clock: Clock) -> None:
        self._project, self._clock = project, clock
        self.folder = CopyFolder()
        self._lock, self._copying, self._deciding = threading.Lock(), threading.Lock(), threading.Lock()
        self._current: CopyVersion | None = None
        self._written = 0

    @property
    def current(self) -> CopyVersion:
        """Return the newest copy; the first call writes it."""
        return self._current or self.refresh()

    def refresh(self) -> CopyVersion:
        """Write a new copy if the lake has changed since the last one, and return the newest."""
        with self._copying:
            newest = with_retries(self._project, lambda warehouse: _read_snapshot(warehouse))
            if self._current is None or self._current.snapshot != newest:
                version = with_retries(self._project, self._write_copy)
                with self._deciding:
                    # Decisions made while it was written must not vanish from pages.
                    self._catch_up(version)
                    self._replace(version)
            assert self._current is not None
            return self._current

    def show_decisions(self) -> bool:
        """Show the decisions committed since the copy; return whether only a new copy can show all of their changes."""
        return self._catch_up_current()[1]

    def follow(self) -> Behind:
        """Show the decisions since the copy, and return which other changes the lake has; a locked catalog counts as unchanged."""
        try:
            newest, _ = self._catch_up_current()
        except LogBusyError:
            return "nothing"
        version = self.current
        if newest <= version.snapshot:
            return "nothing"
        only_decisions = newest == version.snapshot + version.decided.commits and not version.decided.needs_copy
        return "decisions" if only_decisions else "more"

    def _catch_up_current(self) -> tuple[int, bool]:
        self.current  # noqa: B018 - the first call writes the copy
        with self._deciding:
            assert self._current is not None
            return self._catch_up(self._current)

    def _catch_up(self, version: CopyVersion) -> tuple[int, bool]:
        """Show missing decisions in a copy; return the lake's newest commit, and whether they change more than is shown."""
        shown = version.decided.snapshot

        def fresh(warehouse: Warehouse) -> tuple[int, pa.Table | None]:
            newest = _read_snapshot(warehouse)
            if newest <= shown:
                return shown, None
            # Only the files of these commits are read, however many decisions there are.
            relation, values = warehouse.lake.relation("decision", shown, newest)
            text = statement_text("decided/fresh").replace("lake.events.decision", relation)
            return newest, warehouse.lake.connection.execute(text, [*values, shown, newest]).to_arrow_table()

        newest, decisions = with_retries(self._project, fresh)
        return newest, decisions is not None and version.decided.apply(decisions, newest)

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[CopyVersion, duckdb.DuckDBPyConnection]]:
        """Yield the newest copy and a connection to it, which stay valid within the context."""
        self.current  # noqa: B018 - the first reader writes the copy
        with self._lock:
            version = self._current
            assert version is not None
            version.readers += 1
        connection = version.root.cursor()
        # A cursor has settings of its own: times are UTC, as in every result.
        localise(connection)
        connection.execute("USE memory.shown")
        try:
            yield version, connection
        finally:
            connection.close()
            with self._lock:
                version.readers -= 1
                unused = version.replaced and version.readers == 0
            if unused:
                version.delete()

    def close(self) -> None:
        """Delete all copies."""
        with self._lock:
            version, self._current = self._current, None
        if version is not None:
            version.delete()
        self.folder.delete()

    def _replace(self, version: CopyVersion) -> None:
        with self._lock:
            before, self._current = self._current, version
            if before is None:
                return
            before.replaced = True
            unused = before.readers == 0
        if unused:
            before.delete()

    def _write_copy(self, warehouse: Warehouse) -> CopyVersion:
        self._written += 1
        path = self.folder.path / f"views-{self._written}.duckdb"
        path.unlink(missing_ok=True)  # A locked catalog may have ended an attempt.
        # Read this before the tables, so that a commit in between makes the copy look older than it is, never newer.
        snapshot, position = _read_snapshot(warehouse), warehouse.lake.last_position()
        reconciled = min(position, warehouse.lake.consumer_position("reconcile"))
        write_copy(warehouse, path, f"workbench_copy_{self._written}")
        root = attached(path)
        decided = Decided(root, self._project, snapshot)
        return CopyVersion(path, snapshot, position, reconciled, self._clock().astimezone(UTC), root, decided)


def attached(path: Path) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB of its own with a copy attached read-only as `copy`."""
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false", "threads": "2"})
    connection.execute(f"ATTACH '{quoted(path)}' AS copy (READ_ONLY)")
    return connection


def _read_snapshot(warehouse: Warehouse) -> int:
    row = warehouse.lake.connection.execute("FROM lake.current_snapshot()").fetchone()
    assert row is not None
    return int(row[0])
