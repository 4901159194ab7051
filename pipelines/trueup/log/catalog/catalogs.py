"""Catalogs of the lake in SQLite and PostgreSQL, with their locks."""

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
from trueup.log.catalog.catalog_file import catalog_damage, readable_path
from trueup.log.catalog.connection import load_extension
from trueup.log.catalog.dsn import WHERE, Dsn, parse_dsn
from trueup.secret import remember, remember_variable

LOCK_WAIT_S = 600.0
_LOCK_POLL_S = 0.01
"""Interval at which a waiting process checks whether a lock file is free, in seconds."""


class Catalog(Protocol):
    """A place for DuckLake's metadata that also provides locks between processes."""

    extension: str

    def exists(self) -> bool:
        """Return whether a catalog was created here."""

    def uri(self) -> str:
        """Return the text after `ducklake:` in ATTACH."""

    def options(self) -> str:
        """Return further options of ATTACH, each preceded by a comma."""

    def lock(self, name: str, wait_s: float) -> Iterator[None]:
        """Hold the lock `name` among all processes; raise `LogBusyError` after `wait_s`."""


class SqliteCatalog:
    """A catalog file in SQLite's WAL mode, so that a writer never locks readers out."""

    extension = "sqlite_scanner"

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Return whether the file exists."""
        return self.path.exists()

    def uri(self) -> str:
        """Return the path of the catalog file."""
        return str(self.path)

    def options(self) -> str:
        """Return WAL journal and busy timeout: measured, readers meet no lock and wait 0.07 s instead of 2 s."""
        return ", META_TYPE 'sqlite', META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT 5000"

    @contextmanager
    def lock(self, name: str, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
        """Hold a lock file next to the catalog; the system frees it when the process dies.

        Waiting processes queue at a second lock file. A process that releases the lock and wants it again at once waits there,
        and does not starve the others.
        """
        held, queue = (
            filelock.FileLock(str(self.path.with_name(f"{self.path.name}.{name}.{what}")), poll_interval=_LOCK_POLL_S)
            for what in ("lock", "queue.lock")
        )
        try:
            with queue.acquire(timeout=wait_s):
                held.acquire(timeout=wait_s)
        except filelock.Timeout:
            raise _busy_error(name, str(self.path)) from None
        try:
            yield
        finally:
            held.release()


class PostgresCatalog:
    """A catalog in PostgreSQL, for several machines; locks are advisory locks of separate sessions."""

    extension = "postgres_scanner"

    def __init__(self, dsn: Dsn) -> None:
        self.dsn = dsn

    def exists(self) -> bool:
        """Return whether the database has a DuckLake catalog; raise `LogError` when it cannot be reached."""
        with self._open_session() as session:
            row = session.execute("SELECT to_regclass('ducklake_metadata') IS NOT NULL").fetchone()
        return bool(row and row[0])

    def uri(self) -> str:
        """Return the connection string for ATTACH without the password, which DuckDB receives separately."""
        return f"postgres:{self.dsn.without_password}"

    def options(self) -> str:
        """Return the option with the DuckDB secret that holds the password, if there is one."""
        return f", META_SECRET '{self.dsn.name}'" if self.dsn.password else ""

    def set_password_secret(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Give DuckDB the password as a separate secret: errors of ATTACH repeat its text."""
        if self.dsn.password:
            connection.execute(
                f"CREATE OR REPLACE TEMPORARY SECRET {self.dsn.name} (TYPE postgres, PASSWORD $password)",
                {"password": self.dsn.password.get_secret_value()},
            )

    @contextmanager
    def lock(self, name: str, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
        """Hold `pg_advisory_lock`; the server frees it when the session ends."""
        key = zlib.crc32(f"trueup {name}".encode())
        with self._open_session() as session:
            import psycopg  # Only projects with a PostgreSQL catalog need it.

            session.execute(f"SET lock_timeout = {max(1, int(wait_s * 1000))}")
            try:
                session.execute(f"SELECT pg_advisory_lock({key})")
            except psycopg.errors.LockNotAvailable:
                raise _busy_error(name, "PostgreSQL") from None
            yield

    @contextmanager
    def _open_session(self) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:  # type: ignore[name-defined] # noqa: F821,UP037
        import psycopg

        credentials: dict[str, Any] = {keyword: value.get_secret_value() for keyword, value in self.dsn.credentials.items()}
        try:
            with psycopg.connect(self.dsn.public, autocommit=True, **credentials) as session:
                yield session
        except psycopg.Error as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise LogError(f"PostgreSQL cannot be used: {line}", where=WHERE, todo="check the connection and the server") from None


def _busy_error(name: str, where: str) -> LogBusyError:
    holder = "reconciler" if name == "reconcile" else "writer"
    return LogBusyError(f"another {holder} holds the lake", where=where, todo="wait for it to end, or stop it")


def catalog_of(project: Project) -> SqliteCatalog | PostgresCatalog:
    """Return the catalog of a project; raise `ConfigError` for an unknown kind or a malformed connection string."""
    configured = project.config.lake.catalog.get_secret_value()
    text = expand(configured)
    kind, _, rest = text.partition(":")
    if kind == "sqlite" and rest:
        for name, value in variables(configured).items():
            remember_variable(name, value)
        return SqliteCatalog(project.directory / rest)
    if kind in ("postgres", "postgresql") and rest:
        # `postgres:` precedes either form of connection string; a URI may also be given without it.
        dsn = parse_dsn(text if rest.startswith("//") else rest)
        for name, value in variables(configured).items():
            if value not in dsn.public_values:
                remember(value, f"${{{name}}}")
        return PostgresCatalog(dsn)
    raise ConfigError(
        "the catalog has an unknown kind", where=WHERE,
        todo="write sqlite:PATH or postgres:CONNECTION",
    )  # fmt: skip


def attach(connection: duckdb.DuckDBPyConnection, catalog: SqliteCatalog | PostgresCatalog, data: str, *, read_only: bool) -> None:
    """Attach the lake as `lake`, without inlining, with its data at `data`, even if the folder was moved.

    A process that may not write next to a SQLite catalog reads a copy of its present state. Raises `LogError`.
    """
    load_extension(connection, catalog.extension)
    load_extension(connection, "ducklake")
    mode = ", READ_ONLY" if read_only else ""
    if isinstance(catalog, PostgresCatalog):
        catalog.set_password_secret(connection)
        uri, where = catalog.uri(), WHERE
    else:
        where = str(catalog.path)
        uri = str(readable_path(catalog.path, connection) if read_only else catalog.path)
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
        damaged = catalog_damage(catalog.path) if isinstance(catalog, SqliteCatalog) else None
        raise damaged or LogError(f"the lake cannot be opened: {str(error).splitlines()[0]}", where=where) from None
