"""Position lookup: the newest position, the snapshot of a position, and the positions of consumers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from trueup.clock import check_clock
from trueup.errors import LogError
from trueup.log.session import NewestCommit, Session

if TYPE_CHECKING:
    import polars as pl

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PositionLookup(Session):
    """A lake session that looks up positions."""

    def last_position(self) -> int:
        """Return the newest position, 0 in an empty log."""
        return self._read_number("SELECT coalesce(max(position), 0) FROM lake.events.position")

    def newest_commit(self) -> NewestCommit:
        """Return the newest position and the time of its commit."""
        position = self.last_position()
        if position == self._newest.position:
            return self._newest
        return NewestCommit(position, _EPOCH + timedelta(microseconds=self.commit_time_us(position)))

    def commit_time_us(self, position: int) -> int:
        """Return when a position was committed, in µs since 1970; 0 for position 0."""
        # With the position in the condition only the newest file is read, however many there are.
        query = "SELECT coalesce(max(epoch_us(committed_at)), 0) FROM lake.events.position WHERE position = ?"
        return self._read_number(query, [position])

    def newest_commit_at(self, snapshot: int) -> NewestCommit:
        """Return the newest position and its time for an open transaction that reads the log up to `snapshot`.

        The session has the newest commit of an earlier snapshot. Only rows committed after that snapshot are read.
        """
        known_at, newest = self._newest_at
        if known_at == 0:
            newest = self.newest_commit()
        elif known_at < snapshot:
            relation, values = self.relation("position", known_at, snapshot)
            row = self.connection.execute(
                f"SELECT position, epoch_us(committed_at) FROM {relation} WHERE snapshot_id > ? AND snapshot_id <= ? "
                "ORDER BY position DESC LIMIT 1",
                [*values, known_at, snapshot],
            ).fetchone()
            newest = newest if row is None else NewestCommit(int(row[0]), _EPOCH + timedelta(microseconds=row[1]))
        self._newest_at = snapshot, newest
        return newest

    def check_clock(self, now: datetime, newest: NewestCommit | None = None) -> None:
        """Raise `ClockError` where a commit at `now` would be refused."""
        if self.checks_clock:
            jump = timedelta(microseconds=self.project.config.project.max_clock_jump)
            committed_at = (newest or self.newest_commit()).committed_at
            check_clock(now, committed_at, longest_jump=jump, where=str(self.project.directory))

    def last_position_since(self, position: int) -> int:
        """Return the newest position, known to be at least `position`; only later rows are read."""
        query = "SELECT coalesce(max(position), ?) FROM lake.events.position WHERE position > ?"
        return self._read_cached_number(query, position, position)

    def consumer_position(self, consumer: str) -> int:
        """Return the position up to which a consumer's results are complete, 0 before its first commit."""
        return self._read_cached_number("SELECT coalesce(max(position), 0) FROM lake.events.consumer WHERE consumer = ?", consumer)

    def position_at(self, moment: datetime) -> int:
        """Return the newest position committed at or before `moment`, 0 before the first."""
        return self._read_number("SELECT coalesce(max(position), 0) FROM lake.events.position WHERE committed_at <= ?", [moment])

    def snapshot_of(self, position: int) -> int:
        """Return the snapshot that committed `position`, 0 for position 0; raise `LogError` for an unknown position."""
        if position == 0:
            return 0
        snapshots = self._read_snapshots(position)
        if not snapshots:
            raise LogError(
                f"there is no position {position}; the newest is {self.last_position()}", where=str(self.project.directory)
            )
        return snapshots[0]

    def _read_snapshots(self, position: int) -> list[int]:
        """Return the snapshot of a position, or none; without frames where the session has needed none yet."""
        if self._cached_positions is not None:
            return self._find_snapshots(position - 1, position)["snapshot_id"].to_list()
        query = "SELECT snapshot_id FROM lake.events.position WHERE position = ? AND snapshot_id IS NOT NULL"
        return [snapshot for (snapshot,) in self.connection.execute(query, [position]).fetchall()]

    def with_positions(self, rows: pl.DataFrame, *, after: int = 0, upto: int) -> pl.DataFrame:
        """Replace `at_snapshot` by the `position` in (after, upto] that the snapshot committed; drop all other rows."""
        import numpy as np
        import polars as pl

        positions = self._find_snapshots(after, upto)
        snapshots, known = rows["at_snapshot"].to_numpy(), positions["snapshot_id"].to_numpy()
        at = np.searchsorted(known, snapshots)
        has_position = np.append(known, -1)[at] == snapshots
        result = rows.drop("at_snapshot").with_columns(position=positions["position"].extend_constant(None, 1).gather(at))
        return result if has_position.all() else result.filter(pl.Series(has_position))

    def newest_snapshot(self) -> tuple[int, datetime, int]:
        """Return the newest snapshot of any commit: its id, its time, and the number of files written up to it."""
        row = self.connection.execute(
            "SELECT snapshot_id, snapshot_time, next_file_id FROM __ducklake_metadata_lake.ducklake_snapshot "
            "ORDER BY snapshot_id DESC LIMIT 1"
        ).fetchone()
        assert row is not None
        return int(row[0]), row[1], int(row[2])

    def _find_snapshots(self, after: int, upto: int) -> pl.DataFrame:
        """Return the `snapshot_id` of each `position` in (after, upto]; each is read once, because it never changes."""
        from trueup.log.position_cache import PositionCache

        self._cached_positions = (self._cached_positions or PositionCache()).extend(after, upto, self._read_positions)
        return self._cached_positions.slice(after, upto)

    def _read_positions(self, after: int, upto: int) -> pl.DataFrame:
        # An uncommitted position has no snapshot yet, and may never be committed.
        query = (
            "SELECT position, snapshot_id FROM lake.events.position "
            "WHERE position > ? AND position <= ? AND snapshot_id IS NOT NULL ORDER BY position"
        )
        return self.connection.execute(query, [after, upto]).pl()

    def relation(self, table: str, low: int, high: int) -> tuple[str, list[object]]:
        """Return a relation with at least the table's rows of snapshots (low, high], and the values of its parameters.

        Where the log of snapshots reaches that far back, only their files are read, however many files there are.
        """
        if not 0 < low < high or low < self.oldest_snapshot:
            return f"lake.events.{table}", []
        return "ducklake_table_insertions('lake', 'events', ?, ?, ?)", [table, low, high]

    @cached_property
    def oldest_snapshot(self) -> int:
        """The oldest snapshot that has not expired."""
        return self._read_number("SELECT min(snapshot_id) FROM __ducklake_metadata_lake.ducklake_snapshot")
