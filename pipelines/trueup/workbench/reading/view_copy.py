"""A copy of the views as tables of a DuckDB file, which all pages read; it is replaced when the lake has changed.

A page that read the views themselves would compute every finding again. The copy is written once for each state of the lake, by
a connection that only reads the lake. Pages and browsers attach it read-only, and ask the lake nothing.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from trueup.clock import Clock
from trueup.config import Project
from trueup.errors import LogBusyError
from trueup.log.catalog.connection import localise
from trueup.reconcile.domain.decision_kinds import DECISIONS
from trueup.warehouse import install_views
from trueup.warehouse.query import Warehouse, with_retries
from trueup.workbench.reading.statements import has_statement, statement_text

COPIED = (
    "finding_kinds", "finding_causes", "findings", "finding_history", "conservation", "source_units", "feed_quality",
    "exposure_by_day", "suspense_by_day", "provisioning", "suspicious_transactions", "cases", "case_members", "case_history",
    "money_by_account", "fraud_daily", "fraud_drift", "subscriptions", "loose_findings",
)  # fmt: skip
"""The views that pages read. Of one with a file in `queries/copy/`, the copy holds what that file selects, where
`copy.main` is the copy itself."""


@dataclass
class CopyVersion:
    """One copy: the lake's snapshot and position that it shows. It is deleted once replaced and no longer read."""

    path: Path
    snapshot: int
    position: int
    reconciled: int
    copied_at: datetime
    root: duckdb.DuckDBPyConnection = field(repr=False)
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
        self._folder = tempfile.TemporaryDirectory(prefix="trueup-workbench-", ignore_cleanup_errors=True)
        self._lock, self._copying = threading.Lock(), threading.Lock()
        self._current: CopyVersion | None = None
        self._written = 0
        self._decided: dict[str, tuple[str, int]] = {}

    @property
    def current(self) -> CopyVersion:
        """Return the newest copy; the first call writes it."""
        return self._current or self.refresh()

    def refresh(self) -> CopyVersion:
        """Write a new copy if the lake has changed since the last one, and return the newest."""
        with self._copying:
            newest = with_retries(self._project, lambda warehouse: _snapshot(warehouse))
            if self._current is None or self._current.snapshot != newest:
                self._replace(with_retries(self._project, self._written_copy))
            assert self._current is not None
            return self._current

    def is_stale(self) -> bool:
        """Return whether the lake has changed since the copy; a locked catalog counts as unchanged."""
        try:
            return self._current is None or with_retries(self._project, _snapshot) != self._current.snapshot
        except LogBusyError:
            return False

    def note_decisions(self, decisions: Mapping[str, str]) -> None:
        """Note decisions, by subject, that this server has just committed: pages show them before the views are copied again."""
        snapshot = with_retries(self._project, _snapshot)
        for subject, decision in decisions.items():
            status = DECISIONS[decision].status
            if status is not None:
                self._decided[subject] = status, snapshot

    def status_of(self, subject: str, status: str) -> str:
        """Return the status of a finding or case: that of the copy, or of a later decision."""
        decided, snapshot = self._decided.get(subject, (status, -1))
        return decided if snapshot > self.current.snapshot else status

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[CopyVersion, duckdb.DuckDBPyConnection]]:
        """Give the newest copy and a connection to it, which stay valid within the context."""
        self.current  # noqa: B018 - the first reader writes the copy
        with self._lock:
            version = self._current
            assert version is not None
            version.readers += 1
        connection = version.root.cursor()
        # A cursor has settings of its own: times are UTC, as in every result.
        localise(connection)
        connection.execute("USE copy.main")
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
        self._folder.cleanup()

    def _replace(self, version: CopyVersion) -> None:
        with self._lock:
            before, self._current = self._current, version
            self._decided = {subject: noted for subject, noted in self._decided.items() if noted[1] > version.snapshot}
            if before is None:
                return
            before.replaced = True
            unused = before.readers == 0
        if unused:
            before.delete()

    def _written_copy(self, warehouse: Warehouse) -> CopyVersion:
        self._written += 1
        path = Path(self._folder.name) / f"views-{self._written}.duckdb"
        path.unlink(missing_ok=True)  # A locked catalog may have ended an attempt.
        # Read before the tables: a commit in between makes the copy look older than it is, never newer.
        snapshot, position = _snapshot(warehouse), warehouse.lake.last_position()
        reconciled = min(position, warehouse.lake.consumer_position("reconcile"))
        connection = warehouse.lake.connection
        install_views.create_views(connection, comments=False)
        name = f"workbench_copy_{self._written}"
        connection.execute(f"ATTACH '{_quoted(path)}' AS {name}")
        try:
            connection.execute("BEGIN")
            try:
                for view in COPIED:
                    source = statement_text(f"copy/{view}") if has_statement(f"copy/{view}") else f"FROM memory.main.{view}"
                    connection.execute(f"CREATE TABLE {name}.main.{view} AS {source.replace('copy.main.', f'{name}.main.')}")
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(duckdb.TransactionException):
                    connection.execute("ROLLBACK")
                raise
            connection.execute(f"CHECKPOINT {name}")
        finally:
            connection.execute(f"DETACH {name}")
        return CopyVersion(path, snapshot, position, reconciled, self._clock().astimezone(UTC), attached(path))


def attached(path: Path) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB of its own with a copy attached read-only as `copy`."""
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false", "threads": "2"})
    connection.execute(f"ATTACH '{_quoted(path)}' AS copy (READ_ONLY)")
    return connection


def _snapshot(warehouse: Warehouse) -> int:
    row = warehouse.lake.connection.execute("FROM lake.current_snapshot()").fetchone()
    assert row is not None
    return int(row[0])


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
