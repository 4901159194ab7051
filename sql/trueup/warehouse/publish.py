"""Publish the views as plain tables of one DuckDB file, which replaces the previous file atomically or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import duckdb

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import LogError, TrueupError
from trueup.log.catalog.catalogs import LOCK_WAIT_S, catalog_of
from trueup.log.damage import damage_behind
from trueup.progress import LogFn
from trueup.regular import NotRegularError, open_regular
from trueup.warehouse import install_views
from trueup.warehouse.access import guard
from trueup.warehouse.query import Warehouse, is_transient, with_retries
from trueup.warehouse.shared_steps import SharedSteps
from trueup.warehouse.statements import names, statement

_MAGIC = b"DUCK"
_MAGIC_AT = 8


@dataclass(frozen=True)
class Published:
    """A published file: its path, the position it is as of, and the number of rows of each table."""

    path: str
    position: int
    rows: dict[str, int]


def publish(
    project: Project,
    path: Path,
    *,
    as_of: str | None = None,
    clock: Clock = system_clock,
    log: LogFn | None = None,
    audits_passed: int | None = None,
) -> Published:
    """Write all views to `path` as tables with the same comments, and a table `published` that describes them.

    The file is written next to `path` and takes its name when it is complete and on disk. A program that has the old file open
    keeps reading it, and a failed publish leaves it unchanged. `audits_passed` is stored in the file for `find_published`. Raises
    `TrueupError` where `path` cannot be replaced: its folder is missing, it is not a published file, or another program has written
    into it.
    """
    target = path.absolute()
    _check_target(target)
    building = target.with_name(f".{target.name}.publishing")
    with catalog_of(project).lock("publish", LOCK_WAIT_S):
        try:
            published = with_retries(
                project, lambda warehouse: _build_file(warehouse, building, target, clock, log, audits_passed), as_of
            )
            _replace_file(building, target)
        except OSError as error:
            raise TrueupError(
                f"the file cannot be written: {error.strerror or error}",
                where=str(target),
                todo="free space, or name another path",
            ) from None
        finally:
            _remove_file(building)
    return published


def _check_target(target: Path) -> None:
    where = str(target)
    if "?" in where:
        # DuckDB takes the text after ? for parameters, and writes its journal under another name.
        raise TrueupError("DuckDB cannot write a file with ? in its path", where=where, todo="name another path")
    if not target.parent.is_dir():
        raise TrueupError(
            "there is no such folder to publish into", where=str(target.parent), todo="create it, or name another path"
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
            is_duckdb = file.read(len(_MAGIC)) == _MAGIC
    except NotRegularError as error:
        raise TrueupError(f"the path is not overwritten: {error.strerror}", where=where, todo="name another file") from None
    if not is_duckdb or not _is_published(target):
        raise TrueupError(
            "this file was not written by `trueup publish` and is not overwritten", where=where, todo="name another file"
        )
    wal = target.with_name(f"{target.name}.wal")
    if wal.exists() and wal.stat().st_size:
        raise TrueupError(
            "another program is writing into the published file", where=where, todo="close that connection, or delete the .wal"
        )


def _is_published(target: Path) -> bool:
    """Return whether a DuckDB file was published; a file that another process has open for writing counts as published."""
    try:
        with duckdb.connect(str(target), read_only=True) as connection:
            return bool(connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'published'").fetchone())
    except duckdb.IOException:
        return True


def _build_file(
    warehouse: Warehouse, building: Path, target: Path, clock: Clock, log: LogFn | None, audits_passed: int | None
) -> Published:
    _remove_file(building)  # A killed publish, or an attempt that met a lock, may have left it.
    connection = warehouse.lake.connection
    install_views.create_views_of_records(connection)
    quoted = str(building).replace("'", "''")
    try:
        connection.execute(f"ATTACH '{quoted}' AS published")
        try:
            # Computed before the tables are read: a commit in between makes the file look older than it is, never newer.
            state = None if warehouse.as_of else _hash_state(warehouse)
            # Within one transaction all tables show the same state of the lake.
            connection.execute("BEGIN")
            tables = _Tables(connection)
            for name in install_views.order_by_reading(install_views.VIEWS):
                tables.write(name)
                if log:
                    log(f"{name}: {tables.rows[name]} rows")
            position = _write_published_table(warehouse, clock, state, audits_passed)
            connection.execute("COMMIT")
            tables.drop_steps()
            connection.execute("CHECKPOINT published")
        finally:
            _detach(connection)
    except duckdb.Error as error:
        # After a lock the whole publish is repeated; errors of damaged files are translated by the caller.
        if is_transient(error) or damage_behind(warehouse.lake.project, error) is not None:
            raise
        raise LogError(f"the tables cannot be written: {guard.duckdb_error_line(error)}", where=str(target)) from None
    return Published(str(target), position, tables.rows)


class _Tables:
    """Views as tables of the published file; `rows` is the number of rows of each."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.rows: dict[str, int] = {}
        self._connection = connection
        self._steps = SharedSteps(connection)

    def write(self, name: str) -> None:
        """Write one view; it reads the tables written before it, and the shared steps."""
        view = install_views.view_statement(name)
        of_tables = re.sub(r"\bmain\.(\w+)", self._find_table, self._steps.read(view.text))
        self._connection.execute(f"CREATE TABLE published.main.{name} AS FROM ({of_tables}\n)")
        install_views.comment_on(self._connection, "TABLE", f"published.main.{name}", view)
        row = self._connection.execute(f"SELECT count(*) FROM published.main.{name}").fetchone()
        assert row is not None
        self.rows[name] = int(row[0])

    def drop_steps(self) -> None:
        """Drop the shared steps."""
        self._steps.drop()

    def _find_table(self, found: re.Match[str]) -> str:
        return f"published.main.{found[1]}" if found[1] in self.rows else found[0]


def _write_published_table(warehouse: Warehouse, clock: Clock, state: str | None, audits_passed: int | None) -> int:
    """Write the table `published`, and return the position that its tables are as of."""
    position = warehouse.as_of.position if warehouse.as_of else warehouse.lake.last_position()
    warehouse.lake.connection.execute(
        statement("queries/lake/published_table").text,
        {
            "position": position,
            "reconciled": min(position, warehouse.lake.consumer_position("reconcile")),
            "published_at": clock().astimezone(UTC),
            "version": version(),
            "timezone": warehouse.lake.project.config.project.timezone,
            "state": state,
            "audits_held": audits_passed,
        },
    )
    install_views.comment_on(
        warehouse.lake.connection, "TABLE", "published.main.published", statement("queries/lake/published_table")
    )
    return position


def find_published(warehouse: Warehouse, path: Path, query: str) -> tuple[Published, list[dict[str, Any]]] | None:
    """Return the published file if it is up to date: of the lake's newest state, of which all audits passed; else None.

    With it return the rows of a query file that reads the published tables, which then equal the views. The state is the lake's
    newest commit (including findings, decisions and scores), the settings that views read, and the SQL of views and audits.
    Raises `TrueupError` like `publish` where the file cannot be replaced.
    """
    target = path.absolute()
    _check_target(target)
    if not target.exists():
        return None
    try:
        with duckdb.connect(str(target), read_only=True) as file:
            description = file.execute("SELECT position, state, audits_held FROM published").fetchone()
            if description is None or description[1] != _hash_state(warehouse) or description[2] != len(names("audits")):
                return None
            counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in install_views.VIEWS)
            rows = dict(file.execute(counts).fetchall())
            answer = file.execute(statement(query).text)
            columns = [column[0] for column in answer.description or ()]
            answered = [dict(zip(columns, row, strict=True)) for row in answer.fetchall()]
    except duckdb.Error:
        # A file of an earlier version, or one that another program has open for writing: publish it again.
        return None
    counted = {name: int(rows[name]) for name in install_views.VIEWS}
    return Published(str(target), int(description[0]), counted), answered


def _hash_state(warehouse: Warehouse) -> str:
    """Return a hash of everything that tables and audits depend on, including the lake's newest commit."""
    newest = warehouse.lake.newest_snapshot()
    settings = warehouse.lake.project.config.project
    installed = (*install_views.MACROS, *install_views.STEPS, *install_views.VIEWS)
    sql = [install_views.view_statement(name).text for name in installed]
    sql += [statement(f"audits/{name}").text for name in names("audits")]
    text = json.dumps([version(), *map(str, newest), settings.timezone, settings.currency, *sql])
    return hashlib.sha256(text.encode()).hexdigest()


def version() -> str:
    """Return the installed version of trueup; `source` for a checkout that is not installed."""
    try:
        return importlib.metadata.version("trueup")
    except importlib.metadata.PackageNotFoundError:
        return "source"


def _detach(connection: duckdb.DuckDBPyConnection) -> None:
    # After a commit there is no transaction to roll back.
    with contextlib.suppress(duckdb.TransactionException):
        connection.execute("ROLLBACK")
    connection.execute("DETACH published")


def _replace_file(building: Path, target: Path) -> None:
    """Give the complete file its name, and flush both bytes and name to disk, so that they survive a power cut."""
    _sync_file(building)
    building.replace(target)
    _sync_file(target.parent)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_file(building: Path) -> None:
    building.unlink(missing_ok=True)
    building.with_name(f"{building.name}.wal").unlink(missing_ok=True)
