"""DuckDB instances with the lake attached, shared by the connections of one process.

An instance is expensive: it loads the extensions of the lake. A connection to an open instance has no cost. Connections to the same
lake in the same mode therefore share an instance while any of them is open. After the last one, the lake is detached. No file stays
open and no memory stays in use, and the instance serves the next lake of any project.
"""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from trueup.log.catalog.catalogs import PostgresCatalog, SqliteCatalog, attach
from trueup.log.catalog.connection import connect, localise

SMALL_LAKE_BYTES = 16 << 20
"""Largest lake that one thread reads; on so few bytes, more threads would mostly wait for each other."""
TINY_LAKE_BYTES = 4 << 20
"""Largest lake whose queries are planned without statistics, because these save less than their lookup for each scan costs."""
_BY_STATISTICS = "join_order,statistics_propagation,late_materialization"
"""The optimizers of DuckDB that look up files or statistics of every table that a query scans, each time that it scans it."""
MAX_IDLE = 2
"""Maximum number of idle instances: reading and writing need one each."""
_OWN_DATABASES = ("memory", "system", "temp")
_URL_MARK = "://"


@dataclass(frozen=True)
class Attachment:
    """A lake as an instance has it attached; connections with equal attachments may share an instance."""

    catalog: str
    data: str
    read_only: bool


@dataclass
class _Instance:
    root: duckdb.DuckDBPyConnection
    attached: Attachment | None = None
    users: dict[int, int | None] = field(default_factory=dict)
    """Number of threads that each open connection requests, None without a request; by the id of the connection."""
    retired: bool = False
    size_bytes: float = 0
    """Size of the lake when its last connection was opened, infinite where it is not known."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Values read from the attached lake that never change in it, by name."""


@dataclass
class _Pool:
    lock: threading.RLock = field(default_factory=threading.RLock)
    instances: list[_Instance] = field(default_factory=list)
    open: dict[int, tuple[_Instance, duckdb.DuckDBPyConnection]] = field(default_factory=dict)


_pool = _Pool()
_pools_of_parents: list[_Pool] = []


def acquire(
    catalog: SqliteCatalog | PostgresCatalog, data: str, *, read_only: bool, threads: int | None = None, private: bool = False
) -> duckdb.DuckDBPyConnection:
    """Return a connection with the lake attached as `lake`; close it with `release`.

    A `private` connection has an instance that no other connection ever shares: for settings that apply to a whole instance.
    An instance uses the smallest number of `threads` that a connection requests; without a request one for a small lake, else all.
    Queries of a tiny lake are planned without statistics.
    Raises `LogError` where attaching fails.
    """
    requested = Attachment(catalog.uri(), data, read_only)
    with _pool.lock:
        instance = None if private else _find_shared(requested) or _find_idle()
        if instance is None:
            instance = _Instance(connect(threads=1, extensions=(catalog.extension, "ducklake")), retired=private)
            _pool.instances.append(instance)
        if instance.attached is None:
            try:
                attach(instance.root, catalog, data, read_only=read_only)
            except BaseException:
                # An interrupt in the middle must not leave a half-attached instance in the pool either; it is raised again.
                _discard(instance)
                raise
            instance.attached = requested
        instance.size_bytes = _measure_size_bytes(instance)
        connection = instance.root.cursor()
        localise(connection)
        instance.users[id(connection)] = threads
        _pool.open[id(connection)] = instance, connection
        _set_effort(instance)
        return connection


def release(connection: duckdb.DuckDBPyConnection) -> None:
    """Close a connection; with the last one of its instance, detach the lake."""
    with _pool.lock:
        instance, _ = _pool.open.pop(id(connection), (None, connection))
        connection.close()
        if instance is None:
            return
        del instance.users[id(connection)]
        if instance.users:
            _set_effort(instance)
        elif instance.retired or not _detach_all(instance) or sum(not other.users for other in _pool.instances) > MAX_IDLE:
            _discard(instance)


def facts(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return cached facts of the lake that a connection reads and that never change, such as the settings of its creation."""
    with _pool.lock:
        return _pool.open[id(connection)][0].facts


def retire(connection: duckdb.DuckDBPyConnection) -> None:
    """Ensure that no further connection shares the instance of this one, which is closed with its last connection."""
    with _pool.lock:
        if id(connection) in _pool.open:
            _pool.open[id(connection)][0].retired = True


def _find_shared(requested: Attachment) -> _Instance | None:
    """Return an instance in use with this lake: in the same mode, or one that writes if the connection only reads."""
    accepted = (requested, replace(requested, read_only=False)) if requested.read_only else (requested,)
    candidates = (
        instance
        for mode in accepted
        for instance in _pool.instances
        if instance.attached == mode and instance.users and not instance.retired
    )
    return next((instance for instance in candidates if _is_working(instance)), None)


def _find_idle() -> _Instance | None:
    return next((instance for instance in _pool.instances if not instance.users and not instance.retired), None)


def _is_working(instance: _Instance) -> bool:
    """Return whether an instance still answers: after a fatal error, DuckDB never does."""
    try:
        instance.root.execute("SELECT 1")
    except duckdb.Error:
        instance.retired = True
        return False
    return True


def _detach_all(instance: _Instance) -> bool:
    """Detach everything from an instance; return whether it may serve another lake."""
    attached = instance.attached
    try:
        for (name,) in instance.root.execute("SELECT database_name FROM duckdb_databases() WHERE NOT internal").fetchall():
            if name not in _OWN_DATABASES and not name.startswith("__ducklake_metadata_"):
                instance.root.execute(f'DETACH "{name}"')
        instance.attached, instance.size_bytes = None, 0
        instance.facts.clear()
        _set_effort(instance)
    except duckdb.Error:
        return False
    # Credentials of an object store or a server belong to the instance: it must not serve another project.
    return attached is not None and _URL_MARK not in attached.data and not attached.catalog.startswith("postgres:")


def _set_effort(instance: _Instance) -> None:
    requested = [threads for threads in instance.users.values() if threads is not None]
    threads = min(requested) if requested else 1 if instance.size_bytes <= SMALL_LAKE_BYTES else None
    instance.root.execute("RESET threads" if threads is None else f"SET threads = {threads}")
    unused = _BY_STATISTICS if instance.size_bytes <= TINY_LAKE_BYTES else ""
    instance.root.execute(f"SET disabled_optimizers = '{unused}'")


def _measure_size_bytes(instance: _Instance) -> float:
    """Return the size of data files on a local disk, else infinity; DuckLake keeps their sum with the statistics of each table."""
    if instance.attached is None or _URL_MARK in instance.attached.data:
        return math.inf
    query = "SELECT coalesce(sum(file_size_bytes), 0) FROM __ducklake_metadata_lake.ducklake_table_stats"
    try:
        row = instance.root.execute(query).fetchone()
    except duckdb.Error:
        # A locked or damaged catalog is reported by the query that needs it.
        return math.inf
    return math.inf if row is None else float(row[0])


def _discard(instance: _Instance) -> None:
    _pool.instances.remove(instance)
    instance.root.close()


def _begin_in_child() -> None:
    """Start with an empty pool: a forked process has none of its parent's threads, and neither uses nor closes its instances."""
    global _pool
    _pools_of_parents.append(_pool)
    _pool = _Pool()


os.register_at_fork(after_in_child=_begin_in_child)
