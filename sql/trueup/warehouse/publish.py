"""Writes the views as plain tables of one DuckDB file that replaces the one before at once, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import duckdb

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import LogError, TrueupError
from trueup.log.catalog import LOCK_WAIT_S, catalog_of
from trueup.log.damage import damage_behind
from trueup.regular import NotRegularError, open_regular
from trueup.warehouse import guard, views
from trueup.warehouse.query import Warehouse, is_transient, with_retries
from trueup.warehouse.statements import names, statement

Say = Callable[[str], None] | None
_MAGIC = b"DUCK"
_MAGIC_AT = 8


@dataclass(frozen=True)
class Published:
    """What was published: where, as of which position, and how many rows each table has."""

    path: str
    position: int
    rows: dict[str, int]


def publish(
    project: Project,
    path: Path,
    *,
    as_of: str | None = None,
    clock: Clock = system_clock,
    say: Say = None,
    audits_held: int | None = None,
) -> Published:
    """Writes all views to `path`, as tables with the same comments, and a table `published` that says what they are.

    The file is written beside `path` and takes its name when it is complete and on disk: whoever has the old one open
    keeps reading that, and a publish that fails leaves it as it was. Raises `TrueupError` where `path` cannot be
    replaced: its folder is missing, it is no DuckDB file, or somebody has written into it. `audits_held` is published with
    it, for `published_already`.
    """
    target = path.absolute()
    _check_target(target)
    building = target.with_name(f".{target.name}.publishing")
    with catalog_of(project).lock("publish", LOCK_WAIT_S):
        try:
            published = with_retries(project, lambda warehouse: _build(warehouse, building, target, clock, say, audits_held), as_of)
            _replace(building, target)
        except OSError as error:
            raise TrueupError(
                f"the file cannot be written: {error.strerror or error}",
                where=str(target),
                todo="free space, or name another place",
            ) from None
        finally:
            _remove(building)
    return published


def _check_target(target: Path) -> None:
    where = str(target)
    if "?" in where:
        # DuckDB takes what follows for parameters, and writes its log under another name.
        raise TrueupError("DuckDB cannot write a file with ? in its path", where=where, todo="name another place")
    if not target.parent.is_dir():
        raise TrueupError(
            "there is no such folder to publish into", where=str(target.parent), todo="make it, or name another place"
        )
    if target.is_dir():
        raise TrueupError(
            "a folder cannot be replaced by a published file", where=where, todo="name a file, such as leakage.duckdb"
        )
    if not target.exists():
        return
    try:
        with open_regular(target) as file:
            file.seek(_MAGIC_AT)
            ours = file.read(len(_MAGIC)) == _MAGIC
    except NotRegularError as error:
        raise TrueupError(f"what lies there is left alone: {error.strerror}", where=where, todo="name another file") from None
    if not ours or not _holds_published(target):
        raise TrueupError("this file was not written by publish and is left alone", where=where, todo="name another file")
    wal = target.with_name(f"{target.name}.wal")
    if wal.exists() and wal.stat().st_size:
        raise TrueupError(
            "somebody is writing into the published file", where=where, todo="close that connection, or delete the .wal"
        )


def _holds_published(target: Path) -> bool:
    """Whether a DuckDB file is one of ours; one that another process holds open for writing is taken to be."""
    try:
        with duckdb.connect(str(target), read_only=True) as connection:
            return bool(connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'published'").fetchone())
    except duckdb.IOException:
        return True


def _build(warehouse: Warehouse, building: Path, target: Path, clock: Clock, say: Say, audits_held: int | None) -> Published:
    _remove(building)  # What a publish that was killed has left, or an attempt that met a lock.
    connection = warehouse.lake.connection
    views.create(connection, comments=False)
    quoted = str(building).replace("'", "''")
    try:
        connection.execute(f"ATTACH '{quoted}' AS published")
        try:
            # Before the tables are read: what is committed meanwhile makes the file look older than it is, never newer.
            state = None if warehouse.as_of else _state(warehouse)
            # One transaction sees one state of the lake in all tables.
            connection.execute("BEGIN")
            rows = {name: _table(connection, name, say) for name in views.VIEWS}
            position = _write_published_table(warehouse, clock, state, audits_held)
            connection.execute("COMMIT")
            connection.execute("CHECKPOINT published")
        finally:
            _detach(connection)
    except duckdb.Error as error:
        # Of a lock the whole question is asked again; what a damaged file of the lake causes is named outside.
        if is_transient(error) or damage_behind(warehouse.lake.project, error) is not None:
            raise
        raise LogError(f"the tables cannot be written: {guard.duckdb_error_line(error)}", where=str(target)) from None
    return Published(str(target), position, rows)


def _table(connection: duckdb.DuckDBPyConnection, name: str, say: Callable[[str], None] | None) -> int:
    connection.execute(f"CREATE TABLE published.main.{name} AS FROM memory.main.{name}")
    views.describe(connection, "TABLE", f"published.main.{name}", statement(name))
    counted = connection.execute(f"SELECT count(*) FROM published.main.{name}").fetchone()
    assert counted is not None
    if say:
        say(f"{name}: {counted[0]} rows")
    return int(counted[0])


def _write_published_table(warehouse: Warehouse, clock: Clock, state: str | None, audits_held: int | None) -> int:
    """Adds the table `published`; returns the position its results are as of."""
    position = warehouse.as_of.position if warehouse.as_of else warehouse.lake.last_position()
    warehouse.lake.connection.execute(
        statement("queries/published").text,
        {
            "position": position,
            "reconciled": min(position, warehouse.lake.consumer_position("reconcile")),
            "published_at": clock().astimezone(UTC),
            "version": version(),
            "timezone": warehouse.lake.project.config.project.timezone,
            "state": state,
            "audits_held": audits_held,
        },
    )
    views.describe(warehouse.lake.connection, "TABLE", "published.main.published", statement("queries/published"))
    return position


def published_already(warehouse: Warehouse, path: Path) -> Published | None:
    """What a file holds that `publish` need not write again: it is of the newest state of the lake, and all audits held of that.

    The state is the lake's newest commit (of findings, decisions and scores too), the settings that views read, and the SQL of
    views and audits. None where anything differs. Raises `TrueupError` as `publish` does where the file cannot be replaced.
    """
    target = path.absolute()
    _check_target(target)
    if not target.exists():
        return None
    try:
        with duckdb.connect(str(target), read_only=True) as file:
            told = file.execute("SELECT position, state, audits_held FROM published").fetchone()
            if told is None or told[1] != _state(warehouse) or told[2] != len(names("audits")):
                return None
            counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in views.VIEWS)
            rows = dict(file.execute(counts).fetchall())
    except duckdb.Error:
        # Of an earlier version, or held open by somebody who writes: it is written anew.
        return None
    return Published(str(target), int(told[0]), {name: int(rows[name]) for name in views.VIEWS})


def _state(warehouse: Warehouse) -> str:
    """A hash of all that the tables and the audits depend on, the lake's newest commit among it."""
    newest = warehouse.lake.newest_snapshot()
    settings = warehouse.lake.project.config.project
    sql = [statement(path).text for path in views.MACROS]
    sql += [statement(f"steps/{name}").text for name in views.STEPS] + [statement(name).text for name in views.VIEWS]
    sql += [statement(f"audits/{name}").text for name in names("audits")]
    told = json.dumps([version(), *map(str, newest), settings.timezone, settings.currency, *sql])
    return hashlib.sha256(told.encode()).hexdigest()


def version() -> str:
    """The version of trueup that is installed; `source` for a checkout that never was."""
    try:
        return importlib.metadata.version("trueup")
    except importlib.metadata.PackageNotFoundError:
        return "source"


def _detach(connection: duckdb.DuckDBPyConnection) -> None:
    # Usually there is nothing to roll back: it was committed.
    with contextlib.suppress(duckdb.TransactionException):
        connection.execute("ROLLBACK")
    connection.execute("DETACH published")


def _replace(building: Path, target: Path) -> None:
    """Gives the complete file its name, and makes both the bytes and the name survive a power cut."""
    _sync(building)
    building.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(building: Path) -> None:
    building.unlink(missing_ok=True)
    building.with_name(f"{building.name}.wal").unlink(missing_ok=True)
