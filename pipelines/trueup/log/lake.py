"""Lake: creates, opens and migrates the event log; reading and writing are in `reader` and `writer`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import duckdb

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import LogError
from trueup.log.catalog.catalog_file import lost_catalog
from trueup.log.catalog.catalogs import LOCK_WAIT_S, SqliteCatalog, catalog_of
from trueup.log.catalog.instances import acquire, facts, release
from trueup.log.configuration import Configuration as Configuration
from trueup.log.damage import naming_damage
from trueup.log.migrate import missing, schema
from trueup.log.place import data_path as data_path
from trueup.log.reader import ALL_DAYS as ALL_DAYS
from trueup.log.reader import BucketRange as BucketRange
from trueup.log.reader import Days as Days
from trueup.log.reader import LogReader
from trueup.log.reader import TablePart as TablePart
from trueup.log.settings import check_settings, fix_settings, has_log
from trueup.log.writer import CLOCK as CLOCK
from trueup.log.writer import LogWriter
from trueup.log.writer import Transaction as Transaction


class Lake(LogReader, LogWriter):
    """An open lake. Call `Lake.create` once, then use `Lake.open` as a context manager."""

    @classmethod
    def create(cls, project: Project) -> None:
        """Create an empty lake; an existing one is left as it is."""
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
                if has_log(connection):
                    return
                connection.execute("BEGIN")
                for statement in schema():
                    connection.execute(statement)
                fix_settings(connection, project.config.lake)
                connection.execute("COMMIT")
            finally:
                release(connection)

    @classmethod
    def exists(cls, project: Project) -> bool:
        """Return whether the project has a lake with an event log."""
        catalog = catalog_of(project)
        if not catalog.exists():
            return False
        connection = acquire(catalog, data_path(project), read_only=True)
        try:
            return has_log(connection)
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
        """Open an existing lake; raise `LogError` where there is none or it was created with other settings.

        Lakes open in one process share a DuckDB instance where they are the same and in the same mode, unless `private`. A commit
        at a position is refused where the clock is wrong (`ClockError`), unless `checks_clock` is False. Copying the commits of
        another log at their own times needs that.

        A lake created by an earlier version gets the tables and columns it lacks when it is opened for writing. Until then,
        reading it raises `LogError`.
        """
        _check_not_lost(project)
        if not catalog_of(project).exists():
            raise LogError("there is no lake yet", where=str(project.directory), todo="run `trueup ingest` or `trueup run` first")

        def connect() -> duckdb.DuckDBPyConnection:
            connection = acquire(catalog_of(project), data_path(project), read_only=read_only, threads=threads, private=private)
            with ExitStack() as on_refusal:
                on_refusal.callback(release, connection)
                check_settings(connection, project.config.lake, str(project.directory))
                on_refusal.pop_all()
            return connection

        with naming_damage(project):
            lake = cls(project, connect, clock, checks_clock=checks_clock)
            try:
                lake._migrate(read_only=read_only)
                yield lake
            finally:
                release(lake.connection)

    def _migrate(self, *, read_only: bool) -> None:
        known = facts(self.connection)
        if known.get("is_current") or not missing(self.connection):
            known["is_current"] = True
            return
        if read_only:
            raise LogError(
                "the lake was created by an earlier version and lacks tables of this one", where=str(self.project.directory),
                todo="run `trueup ingest` once: it adds them and changes no existing row",
            )  # fmt: skip

        def add(transaction: Transaction) -> None:
            # Check again under the lock: another process may have migrated the lake meanwhile.
            for statement in missing(transaction.connection):
                transaction.connection.execute(statement)

        self.commit(add)


def _check_not_lost(project: Project) -> None:
    """Raise `DamagedError` where data files of commits exist and the catalog does not: a new lake would hide them."""
    catalog = catalog_of(project)
    if isinstance(catalog, SqliteCatalog) and (damage := lost_catalog(catalog.path, data_path(project))) is not None:
        raise damage
