"""Log writer: transactions in numbered positions under one lock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb
import tenacity

from trueup.clock import Clock
from trueup.errors import LogBusyError, LogError
from trueup.events.streams import DATED, STATES
from trueup.log.catalog.catalogs import LOCK_WAIT_S
from trueup.log.configuration import Configuration
from trueup.log.damage import damage_behind
from trueup.log.place import data_path
from trueup.log.position_lookup import PositionLookup
from trueup.log.session import NewestCommit

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

CLOCK = "clock"
"""Kind of a declaration that the clock is right, regardless of its distance from the previous commit."""
_TRANSIENT = ("database is locked", "Conflict", "conflict", "could not serialize", "deadlock detected")


class Transaction:
    """One transaction of the one writer: all rows appended through it are committed together, or none."""

    def __init__(self, log: PositionLookup, clock: Clock) -> None:
        self.connection, self._log, self._clock = log.connection, log, clock
        self.new_commit: NewestCommit | None = None
        self.written = list[Path]()
        """Data files that this transaction wrote by itself."""

    @property
    def snapshot(self) -> int:
        """The snapshot of the last commit before this transaction: what the transaction reads."""
        row = self.connection.execute("FROM lake.current_snapshot()").fetchone()
        assert row is not None
        return int(row[0])

    def append(self, table: str, frame: pl.DataFrame, *, order_by: str = "") -> None:
        """Append rows to `events.TABLE` by column name; columns that the frame lacks are NULL.

        Rows of dated streams and states are sorted by bucket unless `order_by` names another column. The lake is configured not
        to sort inserted rows, because Polars sorts in a quarter of the time. Many rows of a stream are written as files, see
        `file_append`.
        """
        from trueup.frames import query_streams
        from trueup.log.file_append import append_as_files

        if frame.is_empty():
            return
        order = order_by or ("bucket" if table in (*DATED, *STATES) and "bucket" in frame.columns else "")
        rows = frame.sort(order) if order else frame
        if append_as_files(self.connection, data_path(self._log.project), table, rows, self.written):
            return
        # A column of NULLs alone is equivalent to a missing column.
        rows = rows.select(series.name for series in rows if series.null_count() < rows.height)
        names = ", ".join(f'"{name}"' for name in rows.columns)
        query_streams(self.connection, f"INSERT INTO lake.events.{table} ({names}) SELECT {names} FROM rows", rows=rows)

    def next_position(self, kind: str) -> int:
        """Assign the next position to this commit; call it once per input commit.

        Raises `ClockError` where the clock is too far from the time of the newest commit (see `trueup.clock`).
        """
        newest, now = self._log.newest_commit_at(self.snapshot), self._clock()
        if kind != CLOCK:
            self._log.check_clock(now, newest)
        self.connection.execute("INSERT INTO lake.events.position VALUES (?, ?, ?)", [newest.position + 1, kind, now])
        self.new_commit = NewestCommit(newest.position + 1, now)
        return newest.position + 1

    def declare(self, kind: str, *, source: str | None = None, through: datetime | None = None, content: object = None) -> int:
        """Append a declaration as an input commit of its own and return its position."""
        from trueup.events.identity import digest16_sql

        position = self.next_position(kind)
        text = None if content is None else json.dumps(content, sort_keys=True, separators=(",", ":"))
        self.connection.execute(
            "INSERT INTO lake.events.declaration SELECT "
            + digest16_sql("concat_ws(';', '1;declaration', $kind, $source, $through, $content, $position)")
            + ", $kind, $source, $through, $content",
            {"kind": kind, "source": source, "through": through, "content": text, "position": position},
        )
        return position

    def set_consumer_position(
        self, consumer: str, position: int, *, configuration: str | None = None, read_snapshot: int | None = None
    ) -> None:
        """Record that a consumer's results are complete up to `position`, and the configuration that produced them.

        `read_snapshot` is the newest commit that the consumer read, for a consumer of rows without a position of their own.
        """
        names = "consumer, position, configuration, read_snapshot"
        values = [consumer, position, configuration, read_snapshot]
        self.connection.execute(f"INSERT INTO lake.events.consumer ({names}) VALUES (?, ?, ?, ?)", values)

    def record(self, configuration: Configuration) -> str:
        """Append a configuration unless the log has it, and return the id by which rows refer to it."""
        if configuration.id not in self._log.recorded:
            known = "SELECT 1 FROM lake.events.configuration WHERE configuration = ?"
            if self.connection.execute(known, [configuration.id]).fetchone() is None:
                values = [configuration.id, configuration.kind, configuration.text]
                self.connection.execute("INSERT INTO lake.events.configuration VALUES (?, ?, ?)", values)
            else:
                self._log.recorded.add(configuration.id)
        return configuration.id


class LogWriter(PositionLookup):
    """A lake session that commits transactions and holds locks."""

    def commit(self, write: Callable[[Transaction], T], *, wait_s: float = LOCK_WAIT_S) -> T:
        """Run `write` in one transaction under the writer lock, and again from its start when the catalog was locked.

        `write` must make its checks (is this unit new? which position is next?) inside: a retry repeats them.
        Raises `LogBusyError` when the lock or the catalog stays taken, `LogError` when the transaction fails.
        """
        with self._catalog.lock("writer", wait_s):
            for attempt in tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(LogBusyError),
                stop=tenacity.stop_after_attempt(12),
                wait=tenacity.wait_exponential(multiplier=0.02, max=2),
                reraise=True,
            ):
                with attempt:
                    return self._attempt(write)
        raise AssertionError("a retry loop either returns or raises")

    def _attempt(self, write: Callable[[Transaction], T]) -> T:
        self.connection.execute("BEGIN")
        transaction = Transaction(self, self.clock)
        try:
            result = write(transaction)
            self.connection.execute("COMMIT")
        except duckdb.Error as error:
            self._roll_back(transaction)
            if (damage := damage_behind(self.project, error)) is not None:
                raise damage from None
            message = str(error).splitlines()[0]
            kind = LogBusyError if any(word in str(error) for word in _TRANSIENT) else LogError
            raise kind(f"the lake refused a commit: {message}", where=str(self.project.directory)) from error
        except BaseException:
            # Every other exception, an interrupt included, must not leave half a step in an open transaction.
            self._roll_back(transaction)
            raise
        self._newest = transaction.new_commit or self._newest
        return result

    def _roll_back(self, transaction: Transaction) -> None:
        self.recorded.clear()
        # A failed statement may have ended the transaction already.
        with suppress(duckdb.TransactionException):
            self.connection.execute("ROLLBACK")
        if transaction.written:
            from trueup.log.file_append import remove_unregistered

            # The catalog decides: an error of COMMIT does not show whether it took place.
            remove_unregistered(self.connection, transaction.written)

    @contextmanager
    def reconciler_lock(self, wait_s: float = 0.5) -> Iterator[None]:
        """Hold the lake for the one reconciler; raise `LogBusyError` when another process holds it."""
        with self._catalog.lock("reconcile", wait_s):
            yield
