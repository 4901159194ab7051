"""Where the lake's catalog lives, and the one writer lock beside it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import duckdb
import filelock

from trueup.config import Project, expand
from trueup.errors import ConfigError, LogBusyError, LogError
from trueup.log.connection import load_extension

LOCK_WAIT_S = 600.0
_LOOK_EVERY_S = 0.01
"""How often whoever waits for a lock file looks whether it is free."""


class Catalog(Protocol):
    """A place for DuckLake's metadata that can also say who may write."""

    extension: str

    def exists(self) -> bool:
        """Whether a catalog was made here."""

    def uri(self) -> str:
        """What follows `ducklake:` in ATTACH."""

    def options(self) -> str:
        """Further options of ATTACH, each preceded by a comma."""

    def lock(self, name: str, wait_s: float) -> Iterator[None]:
        """A context that holds the lock `name` among all processes; raises `LogBusyError` after `wait_s`."""


class SqliteCatalog:
    """A catalog file in SQLite's WAL mode, so that readers are never locked out by a writer."""

    extension = "sqlite_scanner"

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    def uri(self) -> str:
        """The catalog file, as ATTACH wants it."""
        return str(self.path)

    def options(self) -> str:
        """WAL journal and a busy timeout: measured, readers see no lock and wait 0.07 s instead of 2 s."""
        return ", META_TYPE 'sqlite', META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT 5000"

    @contextmanager
    def lock(self, name: str, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
        """Holds a lock file beside the catalog; the system frees it when the process dies.

        Whoever waits is first in a queue of its own, at a second lock file: who lets go and comes again at once waits there, and
        does not keep others out.
        """
        held, first = (
            filelock.FileLock(str(self.path.with_name(f"{self.path.name}.{name}.{what}")), poll_interval=_LOOK_EVERY_S)
            for what in ("lock", "queue.lock")
        )
        try:
            with first.acquire(timeout=wait_s):
                held.acquire(timeout=wait_s)
        except filelock.Timeout:
            raise _busy(name, str(self.path)) from None
        try:
            yield
        finally:
            held.release()


class PostgresCatalog:
    """A catalog in PostgreSQL, for several machines; locks are advisory locks of a session of their own."""

    extension = "postgres_scanner"

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo

    def exists(self) -> bool:
        """Whether the database holds a DuckLake catalog; raises `LogError` when it cannot be reached."""
        with self._session() as session:
            found = session.execute("SELECT to_regclass('ducklake_metadata') IS NOT NULL").fetchone()
        return bool(found and found[0])

    def uri(self) -> str:
        """The connection string, as ATTACH wants it."""
        return f"postgres:{self.conninfo}"

    def options(self) -> str:
        """None beyond the common ones."""
        return ""

    @contextmanager
    def lock(self, name: str, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
        """Holds `pg_advisory_lock`; the server frees it when the session ends."""
        key = zlib.crc32(f"trueup {name}".encode())
        with self._session() as session:
            import psycopg  # Only projects with a PostgreSQL catalog have it.

            session.execute(f"SET lock_timeout = {max(1, int(wait_s * 1000))}")
            try:
                session.execute(f"SELECT pg_advisory_lock({key})")
            except psycopg.errors.LockNotAvailable:
                raise _busy(name, "PostgreSQL") from None
            yield

    @contextmanager
    def _session(self) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:  # type: ignore[name-defined] # noqa: F821,UP037
        try:
            import psycopg
        except ModuleNotFoundError:
            raise LogError("a PostgreSQL catalog needs the package psycopg", todo="install trueup[postgres]") from None
        try:
            session = psycopg.connect(self.conninfo, autocommit=True)
        except psycopg.OperationalError as error:
            raise LogError(f"PostgreSQL cannot be reached: {str(error).splitlines()[0]}", todo="check [lake] catalog") from None
        with session:
            yield session


def _busy(name: str, where: str) -> LogBusyError:
    who = "reconciler" if name == "reconcile" else "writer"
    return LogBusyError(f"another {who} holds the lake", where=where, todo="wait for it to end, or stop it")


def catalog_of(project: Project) -> SqliteCatalog | PostgresCatalog:
    """The catalog a project names; raises `ConfigError` for a kind that is not known."""
    kind, _, rest = expand(project.config.lake.catalog).partition(":")
    if kind == "sqlite" and rest:
        return SqliteCatalog(project.resolve(rest))
    if kind == "postgres" and rest:
        return PostgresCatalog(rest)
    raise ConfigError(
        f"the catalog {project.config.lake.catalog!r} is of no known kind", where="[lake] catalog",
        todo="write sqlite:PATH or postgres:CONNECTION",
    )  # fmt: skip


def attach(connection: duckdb.DuckDBPyConnection, catalog: SqliteCatalog | PostgresCatalog, data: str, *, read_only: bool) -> None:
    """Attaches the lake as `lake`, without inlining, its data found at `data` wherever the folder has moved to."""
    load_extension(connection, catalog.extension)
    load_extension(connection, "ducklake")
    mode = ", READ_ONLY" if read_only else ""
    quoted = catalog.uri().replace("'", "''")
    folder = data.replace("'", "''")
    try:
        connection.execute(
            f"ATTACH 'ducklake:{quoted}' AS lake (DATA_PATH '{folder}', OVERRIDE_DATA_PATH true, "
            f"DATA_INLINING_ROW_LIMIT 0{catalog.options()}{mode})"
        )
    except duckdb.Error as error:
        raise LogError(f"the lake cannot be opened: {str(error).splitlines()[0]}", where=catalog.uri()) from None
