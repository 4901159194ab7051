"""The lake: append in numbered positions under one lock, read since and as of a position."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import duckdb
import tenacity

from trueup.clock import Clock, check_clock, system_clock
from trueup.config import LakeConfig, Project
from trueup.errors import LogBusyError, LogError
from trueup.events.streams import MOVEMENTS, STATES
from trueup.log.catalog import LOCK_WAIT_S, SqliteCatalog, catalog_of
from trueup.log.catalog_file import lost
from trueup.log.damage import damage_behind, damage_named
from trueup.log.instances import acquire, release, retire
from trueup.log.migrate import missing, schema
from trueup.log.place import data_path as data_path

if TYPE_CHECKING:
    # What only looks at a lake, such as `trueup status`, needs no frames: importing them takes longer than looking.
    import polars as pl

    from trueup.log.positions import PositionCache

T = TypeVar("T")

RECONNECT_AFTER_SNAPSHOTS = 500
"""After how many snapshots whoever follows the log connects anew; it takes as long as reading a few small commits."""
CLOCK = "clock"
"""The kind of a declaration that the clock is right, however far it is from the commit before."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRANSIENT = ("database is locked", "Conflict", "conflict", "could not serialize", "deadlock detected")


@dataclass(frozen=True)
class NewestCommit:
    """The newest position and the time of its commit; 0 and None in an empty log."""

    position: int
    committed_at: datetime | None


@dataclass(frozen=True)
class BucketRange:
    """A range of buckets, both ends included."""

    first: int
    last: int


@dataclass(frozen=True)
class Configuration:
    """Settings that decide what rows of the log say, as canonical JSON; its id is a hash of its content."""

    kind: str
    text: str

    @classmethod
    def of(cls, kind: str, content: object) -> Configuration:
        """The configuration of a content of JSON values."""
        return cls(kind, json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False))

    @cached_property
    def id(self) -> str:
        """The first 32 hex digits of SHA-256 over kind and content."""
        return hashlib.sha256(f"1;configuration;{self.kind};{self.text}".encode()).hexdigest()[:32]


class Transaction:
    """One transaction of the one writer: everything appended through it is there together or not at all."""

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self.connection, self._lake, self._clock = lake.connection, lake, clock
        self.positioned: NewestCommit | None = None

    def append(self, table: str, frame: pl.DataFrame, *, order_by: str = "") -> None:
        """Appends rows to `events.TABLE` by column name; columns the frame lacks are NULL.

        Rows of usage and charge are put in the order of their bucket unless told otherwise: the lake is told not to sort
        what is inserted, since Polars does it in a quarter of the time.
        """
        from trueup.frames import query_frames

        if frame.is_empty():
            return
        order = order_by or ("bucket" if table in (*MOVEMENTS, *STATES) and "bucket" in frame.columns else "")
        rows = frame.sort(order) if order else frame
        # A column that is NULL throughout is as good as one that is not there.
        rows = rows.select(series.name for series in rows if series.null_count() < rows.height)
        names = ", ".join(f'"{name}"' for name in rows.columns)
        query_frames(self.connection, f"INSERT INTO lake.events.{table} ({names}) SELECT {names} FROM rows", rows=rows)

    def next_position(self, kind: str) -> int:
        """Gives this commit the next position; call it once per input commit.

        Raises `ClockError` where the clock is too far from the time of the newest commit (see `trueup.clock`).
        """
        newest, now = self._lake.newest_commit(), self._clock()
        if kind != CLOCK:
            self._lake.check_clock(now, newest)
        self.connection.execute("INSERT INTO lake.events.position VALUES (?, ?, ?)", [newest.position + 1, kind, now])
        self.positioned = NewestCommit(newest.position + 1, now)
        return newest.position + 1

    def declare(self, kind: str, *, source: str | None = None, through: datetime | None = None, content: object = None) -> int:
        """Appends a declaration as an input commit of its own and returns its position."""
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

    def consumed(self, consumer: str, position: int, *, configuration: str | None = None) -> None:
        """Records that a consumer's results hold everything up to `position`, and the configuration that made them."""
        names = "consumer, position, configuration"
        self.connection.execute(f"INSERT INTO lake.events.consumer ({names}) VALUES (?, ?, ?)", [consumer, position, configuration])

    def record(self, configuration: Configuration) -> str:
        """Appends a configuration unless the log has it, and returns the id by which rows refer to it."""
        if configuration.id not in self._lake.recorded:
            known = "SELECT 1 FROM lake.events.configuration WHERE configuration = ?"
            if self.connection.execute(known, [configuration.id]).fetchone() is None:
                values = [configuration.id, configuration.kind, configuration.text]
                self.connection.execute("INSERT INTO lake.events.configuration VALUES (?, ?, ?)", values)
            else:
                self._lake.recorded.add(configuration.id)
        return configuration.id


class Lake:
    """An open lake. Use `Lake.create` once, then `Lake.open` as a context."""

    def __init__(
        self, project: Project, connected: Callable[[], duckdb.DuckDBPyConnection], clock: Clock, *, checks_clock: bool = True
    ) -> None:
        self.project, self.clock, self.checks_clock = project, clock, checks_clock
        self._connected, self._catalog = connected, catalog_of(project)
        self._begin()

    def _begin(self) -> None:
        self.connection = self._connected()
        self._known: PositionCache | None = None
        self._answers: dict[str, tuple[int, tuple[object, ...], int]] = {}
        self._newest = NewestCommit(0, None)
        self._first_seen: int | None = None
        self._last_seen = 0
        self.recorded = set[str]()
        self.__dict__.pop("oldest_snapshot", None)

    # --- opening ------------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, project: Project) -> None:
        """Makes an empty lake; where there is one already, nothing happens."""
        catalog = catalog_of(project)
        data = data_path(project)
        if "://" not in data:
            Path(data).mkdir(parents=True, exist_ok=True)
        if catalog.uri().startswith("/"):
            Path(catalog.uri()).parent.mkdir(parents=True, exist_ok=True)
        with catalog.lock("writer", LOCK_WAIT_S):
            _check_not_lost(project)
            connection = acquire(catalog, data, read_only=False)
            try:
                if _is_made(connection):
                    return
                connection.execute("BEGIN")
                for statement in schema():
                    connection.execute(statement)
                _fix_settings(connection, project.config.lake)
                connection.execute("COMMIT")
            finally:
                release(connection)

    @classmethod
    def is_made(cls, project: Project) -> bool:
        """Whether there is a lake that holds a log."""
        catalog = catalog_of(project)
        if not catalog.exists():
            return False
        connection = acquire(catalog, data_path(project), read_only=True)
        try:
            return _is_made(connection)
        finally:
            release(connection)

    @classmethod
    @contextmanager
    def open(
        cls,
        project: Project,
        *,
        read_only: bool = False,
        clock: Clock = system_clock,
        threads: int | None = None,
        private: bool = False,
        checks_clock: bool = True,
    ) -> Iterator[Self]:
        """Opens a lake that exists; raises `LogError` where there is none or it was made with other settings.

        Lakes open in one process share a DuckDB instance where they are the same and in the same mode, unless `private`.
        A commit at a position is refused where the clock is wrong (`ClockError`), unless `checks_clock` is False: for copying the
        commits of another log at their own times.

        A lake made by an earlier version gets the tables and columns it lacks when it is opened for writing; until then,
        reading it raises `LogError`.
        """
        _check_not_lost(project)
        if not catalog_of(project).exists():
            raise LogError("there is no lake yet", where=str(project.directory), todo="run `trueup init` or `trueup ingest` first")

        def connected() -> duckdb.DuckDBPyConnection:
            connection = acquire(catalog_of(project), data_path(project), read_only=read_only, threads=threads, private=private)
            with ExitStack() as refused:
                refused.callback(release, connection)
                _check_settings(connection, project.config.lake, str(project.directory))
                refused.pop_all()
            return connection

        with damage_named(project):
            lake = cls(project, connected, clock, checks_clock=checks_clock)
            try:
                lake._bring_up_to_date(read_only=read_only)
                yield lake
            finally:
                release(lake.connection)

    def renew(self) -> None:
        """Connects anew once many snapshots have come: an instance keeps something of each it sees, and never lets it go.

        For whoever follows a log for months. To be called between steps, with no transaction open and no result half read.
        """
        if self._first_seen is not None and self._last_seen - self._first_seen >= RECONNECT_AFTER_SNAPSHOTS:
            before = self.connection
            retire(before)
            self._begin()
            release(before)

    def reconnect(self) -> None:
        """Connects anew: after a failure of DuckDB that leaves a connection unusable."""
        before = self.connection
        retire(before)
        self._begin()
        with suppress(duckdb.Error):
            release(before)

    def _saw(self, snapshot: int) -> None:
        self._first_seen = snapshot if self._first_seen is None else self._first_seen
        self._last_seen = max(self._last_seen, snapshot)

    def _bring_up_to_date(self, *, read_only: bool) -> None:
        if not missing(self.connection):
            return
        if read_only:
            raise LogError(
                "the lake was made by an earlier version and lacks tables of this one", where=str(self.project.directory),
                todo="run `trueup ingest` once: it adds them and changes nothing that is there",
            )  # fmt: skip

        def add(transaction: Transaction) -> None:
            # Looked at again under the lock: another process may have been quicker.
            for statement in missing(transaction.connection):
                transaction.connection.execute(statement)

        self.commit(add)

    # --- writing ------------------------------------------------------------------------------------------------------

    def commit(self, write: Callable[[Transaction], T], *, wait_s: float = LOCK_WAIT_S) -> T:
        """Runs `write` in one transaction under the writer lock, and again from its start when the catalog was locked.

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
            self._roll_back()
            if (damage := damage_behind(self.project, error)) is not None:
                raise damage from None
            message = str(error).splitlines()[0]
            kind = LogBusyError if any(word in str(error) for word in _TRANSIENT) else LogError
            raise kind(f"the lake refused a commit: {message}", where=str(self.project.directory)) from error
        except BaseException:
            # Whatever ends the step, an interrupt too, must not leave half of it in an open transaction.
            self._roll_back()
            raise
        self._newest = transaction.positioned or self._newest
        return result

    def _roll_back(self) -> None:
        self.recorded.clear()
        # A failed statement may have ended the transaction already.
        with suppress(duckdb.TransactionException):
            self.connection.execute("ROLLBACK")

    @contextmanager
    def reconciling(self, wait_s: float = 0.5) -> Iterator[None]:
        """Holds the lake for the one reconciler; raises `LogBusyError` when another has it."""
        with self._catalog.lock("reconcile", wait_s):
            yield

    # --- positions ----------------------------------------------------------------------------------------------------

    def last_position(self) -> int:
        """The newest position, 0 in an empty log."""
        return self._number("SELECT coalesce(max(position), 0) FROM lake.events.position")

    def newest_commit(self) -> NewestCommit:
        """The newest position and when it was committed."""
        position = self.last_position()
        if position == self._newest.position:
            return self._newest
        # By its number only the newest file is read, however many there are.
        microseconds = self._number("SELECT epoch_us(committed_at) FROM lake.events.position WHERE position = ?", [position])
        return NewestCommit(position, _EPOCH + timedelta(microseconds=microseconds))

    def check_clock(self, now: datetime, newest: NewestCommit | None = None) -> None:
        """Raises `ClockError` where a commit at `now` would be refused."""
        if self.checks_clock:
            jump = timedelta(microseconds=self.project.config.project.max_clock_jump)
            committed_at = (newest or self.newest_commit()).committed_at
            check_clock(now, committed_at, longest_jump=jump, where=str(self.project.directory))

    def newest_after(self, position: int) -> int:
        """The newest position, known to be at least `position`: reads only what has come since."""
        query = "SELECT coalesce(max(position), ?) FROM lake.events.position WHERE position > ?"
        return self._looked_up(query, position, position)

    def consumer_position(self, consumer: str) -> int:
        """What a consumer's results hold everything up to, 0 before its first commit."""
        return self._looked_up("SELECT coalesce(max(position), 0) FROM lake.events.consumer WHERE consumer = ?", consumer)

    def position_at(self, moment: datetime) -> int:
        """The newest position that had been committed at `moment`, 0 before the first."""
        return self._number("SELECT coalesce(max(position), 0) FROM lake.events.position WHERE committed_at <= ?", [moment])

    def snapshot_of(self, position: int) -> int:
        """The snapshot that brought `position`, 0 for position 0; raises `LogError` for one that is not there."""
        if position == 0:
            return 0
        snapshots = self._known_positions(position - 1, position)["snapshot_id"]
        if snapshots.is_empty():
            raise LogError(
                f"there is no position {position}; the newest is {self.last_position()}", where=str(self.project.directory)
            )
        return int(snapshots[0])

    def positioned(self, rows: pl.DataFrame, *, after: int = 0, upto: int) -> pl.DataFrame:
        """Rows with the `position` in (after, upto] that their `at_snapshot` brought, in place of it; all others are left away."""
        import numpy as np
        import polars as pl

        told = self._known_positions(after, upto)
        snapshot, known = rows["at_snapshot"].to_numpy(), told["snapshot_id"].to_numpy()
        at = np.searchsorted(known, snapshot)
        has = np.append(known, -1)[at] == snapshot
        found = rows.drop("at_snapshot").with_columns(position=told["position"].extend_constant(None, 1).gather(at))
        return found if has.all() else found.filter(pl.Series(has))

    def _known_positions(self, after: int, upto: int) -> pl.DataFrame:
        """The `snapshot_id` of each `position` in (after, upto]; none is asked for twice, for it never comes by another."""
        from trueup.log.positions import PositionCache

        self._known = (self._known or PositionCache()).going_on(after, upto, self._asked_positions)
        return self._known.of(after, upto)

    def _asked_positions(self, after: int, upto: int) -> pl.DataFrame:
        # Before it is committed none has a snapshot, nor is it certain to come.
        query = (
            "SELECT position, snapshot_id FROM lake.events.position "
            "WHERE position > ? AND position <= ? AND snapshot_id IS NOT NULL ORDER BY position"
        )
        return self.connection.execute(query, [after, upto]).pl()

    def newest_snapshot(self) -> tuple[int, datetime, int]:
        """The newest snapshot, of whatever was committed: its id, when it was made, and the number of files made up to it."""
        found = self.connection.execute(
            "SELECT snapshot_id, snapshot_time, next_file_id FROM __ducklake_metadata_lake.ducklake_snapshot "
            "ORDER BY snapshot_id DESC LIMIT 1"
        ).fetchone()
        assert found is not None
        return int(found[0]), found[1], int(found[2])

    def count(self, table: str) -> int:
        """How many rows `events.TABLE` has."""
        return self._number(f"SELECT count(*) FROM lake.events.{table}")

    def _looked_up(self, query: str, *values: object) -> int:
        """A number that whoever waits asks for again and again: looked up anew only when something has been committed since."""
        # The snapshot comes first: what is committed in between is looked up once too often, never missed.
        now = self._number("SELECT max(snapshot_id) FROM __ducklake_metadata_lake.ducklake_snapshot")
        self._saw(now)
        if query not in self._answers or self._answers[query][:2] != (now, values):
            self._answers[query] = (now, values, self._number(query, values))
        return self._answers[query][2]

    def _number(self, query: str, values: Sequence[object] = ()) -> int:
        found = self.connection.execute(query, list(values)).fetchone()
        assert found is not None
        return int(found[0])

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(
        self,
        table: str,
        *,
        columns: Sequence[str] = ("*",),
        noted: Sequence[str] = (),
        after: int = 0,
        upto: int | None = None,
        buckets: BucketRange | None = None,
        days: tuple[date | None, date | None] | None = None,
    ) -> pl.DataFrame:
        """Rows of `events.TABLE` that came with positions in (after, upto], with their `position`.

        `noted` are further expressions over a row `e`. `buckets` and `days` (UTC, both ends included; rows without a day always
        count) narrow what is read. Exact also when old snapshots have been expired: the commit of each row is a column of it.
        """
        newest = self.last_position() if upto is None else upto
        # Asked for in one: both ends are among them.
        self._known_positions(max(0, after - 1), newest)
        low, high = self.snapshot_of(after), self.snapshot_of(newest)
        self._saw(high)
        conditions = ["e.snapshot_id > ?", "e.snapshot_id <= ?"]
        values: list[object] = [low, high]
        if buckets is not None:
            conditions.append("e.bucket BETWEEN ? AND ?")
            values += [buckets.first, buckets.last]
        if days is not None and days != (None, None):
            first, last = days[0] or date.min, days[1] or date.max
            conditions.append("(e.day BETWEEN ? AND ? OR e.day IS NULL)")
            values += [first, last]
        wanted = ", ".join([*(f"e.{name}" for name in columns), *noted])
        rows, asked = self.relation(table, low, high)
        found = self.connection.execute(
            f"SELECT {wanted}, e.snapshot_id AS at_snapshot FROM {rows} e WHERE {' AND '.join(conditions)}", [*asked, *values]
        ).pl()
        # Joined here rather than by DuckDB, which would take all columns through its join.
        return self.positioned(found, after=after, upto=newest)

    def relation(self, table: str, low: int, high: int) -> tuple[str, list[object]]:
        """A table as a relation that holds at least what came in snapshots (low, high], and the values it asks for.

        Where the log of snapshots goes back that far, only the files of those are looked at, however many there are.
        """
        if not 0 < low < high or low < self.oldest_snapshot:
            return f"lake.events.{table}", []
        return "ducklake_table_insertions('lake', 'events', ?, ?, ?)", [table, low, high]

    @cached_property
    def oldest_snapshot(self) -> int:
        """The oldest snapshot that has not been expired."""
        return self._number("SELECT min(snapshot_id) FROM __ducklake_metadata_lake.ducklake_snapshot")


def _check_not_lost(project: Project) -> None:
    """Raises `DamagedError` where data files of commits are there and the catalog is not: a new lake would hide them."""
    catalog = catalog_of(project)
    if isinstance(catalog, SqliteCatalog) and (damage := lost(catalog.path, data_path(project))) is not None:
        raise damage


def _is_made(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'lake' AND table_name = 'position'"
    ).fetchone()
    return bool(found and found[0])


def _settings(lake: LakeConfig) -> dict[str, Any]:
    return {"buckets": lake.buckets, "bucket_by": lake.bucket_by}


def _fix_settings(connection: duckdb.DuckDBPyConnection, lake: LakeConfig) -> None:
    connection.execute("INSERT INTO lake.events.setting VALUES (?)", [json.dumps(_settings(lake))])


def _check_settings(connection: duckdb.DuckDBPyConnection, lake: LakeConfig, where: str) -> None:
    try:
        found = connection.execute("SELECT content FROM lake.events.setting").fetchone()
    except duckdb.CatalogException:
        found = None
    if found is None:
        raise LogError("the catalog holds no event log", where=where, todo="run `trueup init` first")
    made = json.loads(found[0])
    for name, value in _settings(lake).items():
        if made[name] != value:
            raise LogError(
                f"the lake was made with {name} = {made[name]!r}, trueup.toml says {value!r}", where=where,
                todo=f"set [lake] {name} back; it is fixed when the lake is made",
            )  # fmt: skip


def utc(moment: datetime) -> datetime:
    """The same moment, in UTC."""
    return moment.astimezone(UTC)
