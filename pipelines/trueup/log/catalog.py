"""Where the lake's catalog lives, and the one writer lock beside it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb
import filelock

from trueup.config import Project, expand, variables
from trueup.errors import ConfigError, LogBusyError, LogError
from trueup.log.catalog_file import damage_of, readable
from trueup.log.connection import load_extension
from trueup.log.dsn import WHERE, Dsn, dsn_of
from trueup.secret import remember, remember_variable

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

    def __init__(self, dsn: Dsn) -> None:
        self.dsn = dsn

    def exists(self) -> bool:
        """Whether the database holds a DuckLake catalog; raises `LogError` when it cannot be reached."""
        with self._session() as session:
            found = session.execute("SELECT to_regclass('ducklake_metadata') IS NOT NULL").fetchone()
        return bool(found and found[0])

    def uri(self) -> str:
        """The connection string as ATTACH wants it: without the password, which DuckDB is given apart."""
        return f"postgres:{self.dsn.without_password}"

    def options(self) -> str:
        """The name of the DuckDB secret that holds the password, where there is one."""
        return f", META_SECRET '{self.dsn.name}'" if self.dsn.password else ""

    def hand_over(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Gives DuckDB the password as a secret of its own: what is in the text of ATTACH, its errors repeat."""
        if self.dsn.password:
            connection.execute(
                f"CREATE OR REPLACE TEMPORARY SECRET {self.dsn.name} (TYPE postgres, PASSWORD $password)",
                {"password": self.dsn.password.get_secret_value()},
            )

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
        import psycopg

        credentials: dict[str, Any] = {keyword: value.get_secret_value() for keyword, value in self.dsn.credentials.items()}
        try:
            with psycopg.connect(self.dsn.public, autocommit=True, **credentials) as session:
                yield session
        except psycopg.Error as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise LogError(f"PostgreSQL cannot be used: {first}", where=WHERE, todo="check the connection and the server") from None


def _busy(name: str, where: str) -> LogBusyError:
    who = "reconciler" if name == "reconcile" else "writer"
    return LogBusyError(f"another {who} holds the lake", where=where, todo="wait for it to end, or stop it")


def catalog_of(project: Project) -> SqliteCatalog | PostgresCatalog:
    """The catalog a project names; raises `ConfigError` for a kind that is not known, or a malformed connection string."""
    told = project.config.lake.catalog.get_secret_value()
    text = expand(told)
    kind, _, rest = text.partition(":")
    if kind == "sqlite" and rest:
        for name, value in variables(told).items():
            remember_variable(name, value)
        return SqliteCatalog(project.directory / rest)
    if kind in ("postgres", "postgresql") and rest:
        # `postgres:` goes before either form of connection string; a URI may also stand for itself.
        dsn = dsn_of(text if rest.startswith("//") else rest)
        for name, value in variables(told).items():
            if value not in dsn.places:
                remember(value, f"${{{name}}}")
        return PostgresCatalog(dsn)
    raise ConfigError(
        "the catalog is of no known kind", where=WHERE,
        todo="write sqlite:PATH or postgres:CONNECTION",
    )  # fmt: skip


def attach(connection: duckdb.DuckDBPyConnection, catalog: SqliteCatalog | PostgresCatalog, data: str, *, read_only: bool) -> None:
    """Attaches the lake as `lake`, without inlining, its data found at `data` wherever the folder has moved to.

    Whoever may not write beside a SQLite catalog reads a copy of it, which is as of now. Raises `LogError`.
    """
    load_extension(connection, catalog.extension)
    load_extension(connection, "ducklake")
    mode = ", READ_ONLY" if read_only else ""
    if isinstance(catalog, PostgresCatalog):
        catalog.hand_over(connection)
        uri, where = catalog.uri(), WHERE
    else:
        where = str(catalog.path)
        uri = str(readable(catalog.path, connection) if read_only else catalog.path)
    quoted = uri.replace("'", "''")
    folder = data.replace("'", "''")
    try:
        connection.execute(
            f"ATTACH 'ducklake:{quoted}' AS lake (DATA_PATH '{folder}', OVERRIDE_DATA_PATH true, "
            f"DATA_INLINING_ROW_LIMIT 0{catalog.options()}{mode})"
        )
    except (duckdb.Error, UnicodeDecodeError) as error:
        if "readonly database" in str(error):
            todo = "ask its owner for the right to write into its folder"
            raise LogError("you have no right to write into the lake", where=where, todo=todo) from None
        damaged = damage_of(catalog.path) if isinstance(catalog, SqliteCatalog) else None
        raise damaged or LogError(f"the lake cannot be opened: {str(error).splitlines()[0]}", where=where) from None
