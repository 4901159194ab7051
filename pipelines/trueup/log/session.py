"""Lake session: one connection to an open lake, its renewal, and the values cached between commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb

from trueup.clock import Clock
from trueup.config import Project
from trueup.log.catalog.catalogs import catalog_of
from trueup.log.catalog.instances import release, retire

if TYPE_CHECKING:
    # A command that only reads numbers, such as `trueup status`, needs no frames: importing them takes longer than reading.
    from trueup.log.position_cache import PositionCache

RECONNECT_AFTER_SNAPSHOTS = 500
"""Number of snapshots after which a process that follows the log reconnects; it takes as long as reading a few small commits."""


@dataclass(frozen=True)
class NewestCommit:
    """The newest position and the time of its commit; 0 and None in an empty log."""

    position: int
    committed_at: datetime | None


class Session:
    """A connection to the lake of a project, with the injected clock."""

    def __init__(
        self, project: Project, connect: Callable[[], duckdb.DuckDBPyConnection], clock: Clock, *, checks_clock: bool = True
    ) -> None:
        self.project, self.clock, self.checks_clock = project, clock, checks_clock
        self._connect, self._catalog = connect, catalog_of(project)
        self._begin()

    def _begin(self) -> None:
        self.connection = self._connect()
        self._cached_positions: PositionCache | None = None
        self._cached_numbers: dict[str, tuple[int, tuple[object, ...], int]] = {}
        self._newest = NewestCommit(0, None)
        self._newest_at = 0, self._newest
        self.kept = dict[str, Any]()
        """Values that users of the session cache between commits, by name; a reconnection clears them."""
        self._first_seen: int | None = None
        self._last_seen = 0
        self.recorded = set[str]()
        self.__dict__.pop("oldest_snapshot", None)

    def reconnect_when_due(self) -> None:
        """Reconnect after `RECONNECT_AFTER_SNAPSHOTS` snapshots: a DuckDB instance holds memory for each snapshot that it has read.

        For processes that follow a log for months. Call it between steps, with no transaction open and no result half read.
        """
        if self._first_seen is not None and self._last_seen - self._first_seen >= RECONNECT_AFTER_SNAPSHOTS:
            previous = self.connection
            retire(previous)
            self._begin()
            release(previous)

    def reconnect(self) -> None:
        """Reconnect after a failure of DuckDB that leaves the connection unusable."""
        previous = self.connection
        retire(previous)
        self._begin()
        with suppress(duckdb.Error):
            release(previous)

    def _note_snapshot(self, snapshot: int) -> None:
        self._first_seen = snapshot if self._first_seen is None else self._first_seen
        self._last_seen = max(self._last_seen, snapshot)

    def _read_number(self, query: str, values: Sequence[object] = ()) -> int:
        row = self.connection.execute(query, list(values)).fetchone()
        assert row is not None
        return int(row[0])

    def _read_cached_number(self, query: str, *values: object) -> int:
        """Return a number that a waiting process reads repeatedly; it is read again only after a further commit."""
        # Read the snapshot first: a commit in between then causes one read too many, never a missed one.
        snapshot = self._read_number("SELECT max(snapshot_id) FROM __ducklake_metadata_lake.ducklake_snapshot")
        self._note_snapshot(snapshot)
        if query not in self._cached_numbers or self._cached_numbers[query][:2] != (snapshot, values):
            self._cached_numbers[query] = (snapshot, values, self._read_number(query, values))
        return self._cached_numbers[query][2]
