"""DuckDB instances with the lake attached, shared by the connections of one process.

An instance is expensive: DuckDB checks the signatures of 70 MB of extensions for each. A connection to an instance costs nothing.
Connections to the same lake in the same mode therefore share an instance while any of them is open. After the last one, the lake is
detached: nothing of it stays open or in memory, and the instance serves the next lake, whichever project it belongs to.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace

import duckdb

from trueup.log.catalog import PostgresCatalog, SqliteCatalog, attach
from trueup.log.connection import connect, localise

MOST_IDLE = 2
"""How many instances without a lake are kept for the next one: reading and writing need one each."""
_OWN_DATABASES = ("memory", "system", "temp")
_LOCAL_DATA_ONLY = "://"


@dataclass(frozen=True)
class Attachment:
    """A lake as an instance has it attached: two connections that want the same may share an instance."""

    catalog: str
    data: str
    read_only: bool


@dataclass
class _Instance:
    root: duckdb.DuckDBPyConnection
    attached: Attachment | None = None
    users: dict[int, int | None] = field(default_factory=dict)
    """The threads that each open connection wants, None where it does not mind; by the id of the connection."""
    retired: bool = False


@dataclass
class _Pool:
    lock: threading.RLock = field(default_factory=threading.RLock)
    instances: list[_Instance] = field(default_factory=list)
    open: dict[int, tuple[_Instance, duckdb.DuckDBPyConnection]] = field(default_factory=dict)


_pool = _Pool()
_left_to_parents: list[_Pool] = []


def acquire(
    catalog: SqliteCatalog | PostgresCatalog, data: str, *, read_only: bool, threads: int | None = None, private: bool = False
) -> duckdb.DuckDBPyConnection:
    """A connection with the lake attached as `lake`; give it back with `release`.

    `private` gives it an instance that no other connection shares, now or later: for settings that hold for a whole instance.
    An instance uses the fewest `threads` that one of its connections asks for. Raises `LogError` where the lake cannot be attached.
    """
    wanted = Attachment(catalog.uri(), data, read_only)
    with _pool.lock:
        instance = None if private else _shared(wanted) or _idle()
        if instance is None:
            instance = _Instance(connect(), retired=private)
            _pool.instances.append(instance)
        if instance.attached is None:
            try:
                attach(instance.root, catalog, data, read_only=read_only)
            except BaseException:
                _discard(instance)
                raise
            instance.attached = wanted
        connection = instance.root.cursor()
        localise(connection)
        instance.users[id(connection)] = threads
        _pool.open[id(connection)] = instance, connection
        _set_threads(instance)
        return connection


def release(connection: duckdb.DuckDBPyConnection) -> None:
    """Closes a connection; with the last one of its instance, the lake is detached."""
    with _pool.lock:
        instance, _ = _pool.open.pop(id(connection), (None, connection))
        connection.close()
        if instance is None:
            return
        del instance.users[id(connection)]
        if instance.users:
            _set_threads(instance)
        elif instance.retired or not _emptied(instance) or sum(not other.users for other in _pool.instances) > MOST_IDLE:
            _discard(instance)


def retire(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes sure that no further connection shares the instance of this one, which is closed with its last connection."""
    with _pool.lock:
        if id(connection) in _pool.open:
            _pool.open[id(connection)][0].retired = True


def _shared(wanted: Attachment) -> _Instance | None:
    """An instance in use that has the lake attached: in the same mode, else one that writes for a connection that only reads."""
    accepted = (wanted, replace(wanted, read_only=False)) if wanted.read_only else (wanted,)
    fitting = (one for mode in accepted for one in _pool.instances if one.attached == mode and one.users and not one.retired)
    return next((one for one in fitting if _works(one)), None)


def _idle() -> _Instance | None:
    return next((one for one in _pool.instances if not one.users and not one.retired), None)


def _works(instance: _Instance) -> bool:
    """Whether an instance still answers: DuckDB shuts one for good after a fatal error."""
    try:
        instance.root.execute("SELECT 1")
    except duckdb.Error:
        instance.retired = True
        return False
    return True


def _emptied(instance: _Instance) -> bool:
    """Detaches everything from an instance; whether it may serve another lake."""
    attached = instance.attached
    try:
        for (name,) in instance.root.execute("SELECT database_name FROM duckdb_databases() WHERE NOT internal").fetchall():
            if name not in _OWN_DATABASES and not name.startswith("__ducklake_metadata_"):
                instance.root.execute(f'DETACH "{name}"')
        instance.attached = None
        _set_threads(instance)
    except duckdb.Error:
        return False
    # What opens an object store or a server belongs to the instance: it must not serve another project.
    return attached is not None and _LOCAL_DATA_ONLY not in attached.data and not attached.catalog.startswith("postgres:")


def _set_threads(instance: _Instance) -> None:
    wanted = [threads for threads in instance.users.values() if threads is not None]
    instance.root.execute(f"SET threads = {min(wanted)}" if wanted else "RESET threads")


def _discard(instance: _Instance) -> None:
    _pool.instances.remove(instance)
    instance.root.close()


def _begin_in_child() -> None:
    """A forked process has none of the threads of its parent's instances: it neither uses nor closes them."""
    global _pool
    _left_to_parents.append(_pool)
    _pool = _Pool()


os.register_at_fork(after_in_child=_begin_in_child)
