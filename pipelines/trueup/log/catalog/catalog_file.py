"""SQLite catalog files: detection of damage, and copies for processes that may not write next to the catalog."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote
from weakref import WeakKeyDictionary

import duckdb
import tenacity

from trueup.errors import DamagedError, LogBusyError, LogError

_RESTORE = "restore it from a backup"
_SETTLED_S = 0.05
"""Minimum age of a file change, in seconds, for a later change to alter the modification time: file systems use ticks."""
_BUSY_S = 5.0

_copies: WeakKeyDictionary[duckdb.DuckDBPyConnection, TemporaryDirectory[str]] = WeakKeyDictionary()
"""Copy that a connection reads; it is removed with the connection, or when the connection reads another."""


def catalog_damage(path: Path) -> DamagedError | None:
    """Return SQLite's fault of a catalog file as an error; None for a sound one."""
    try:
        with _open_catalog(path, immutable=not _find_wal(path).exists()) as catalog:
            (fault,) = catalog.execute("PRAGMA quick_check(1)").fetchone()
    except UnicodeDecodeError:
        fault = "its text is not UTF-8"
    except sqlite3.OperationalError:
        # The file cannot be opened (rights, a lock), which is not damage.
        return None
    except sqlite3.DatabaseError as error:
        fault = str(error)
    return None if fault == "ok" else DamagedError(f"the catalog is damaged: {fault}", where=str(path), todo=_RESTORE)


def lost_catalog(path: Path, data: str) -> DamagedError | None:
    """Return the error of a catalog that is missing or empty although commits left data files; None otherwise."""
    if "://" in data or (path.exists() and path.stat().st_size) or not any(Path(data).glob("events/position/*.parquet")):
        return None
    state = "empty" if path.exists() else "missing"
    return DamagedError(f"the catalog is {state}, but the lake holds data", where=str(path), todo=_RESTORE)


def readable_path(path: Path, connection: duckdb.DuckDBPyConnection) -> Path:
    """Return the file that `connection` can attach for reading: `path`, or a copy of its present state.

    SQLite writes an index of its log next to the catalog even for readers. A process without that right therefore reads a copy,
    which lasts as long as the connection. Raises `LogError` where the catalog cannot be read, and `LogBusyError` where writers
    leave no time to copy it.
    """
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return path
    folder = TemporaryDirectory(prefix="trueup-catalog-", ignore_cleanup_errors=True)
    copy = Path(folder.name, path.name)
    copy_catalog(path, copy)
    _copies[connection] = folder
    return copy


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(LogBusyError),
    stop=tenacity.stop_after_delay(_BUSY_S),
    wait=tenacity.wait_random_exponential(multiplier=0.02, max=0.5),
    reraise=True,
)
def copy_catalog(path: Path, copy: Path) -> None:
    """Copy a catalog's present state without writing next to it; raise `LogError` and `LogBusyError` as `readable_path` does."""
    try:
        if _find_shm(path).exists():
            # A writer is active, or one was killed: SQLite reads what is committed, under the locks of its index.
            _copy_by_sqlite(path, copy)
        else:
            _copy_files(path, copy)
    except PermissionError as error:
        raise _read_error(path, str(error.strerror)) from None
    except sqlite3.OperationalError as error:
        if _find_shm(path).exists():
            raise _read_error(path, str(error)) from None
        raise _busy_error(path) from None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise catalog_damage(path) or _read_error(path, str(error)) from None


def _copy_by_sqlite(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    with _open_catalog(path) as catalog, closing(sqlite3.connect(copy)) as target:
        catalog.backup(target)


def _copy_files(path: Path, copy: Path) -> None:
    """Copy the catalog and its log as files; raise `LogBusyError` where one of them changed meanwhile."""
    before = _read_state(path)
    for source, target in ((path, copy), (_find_wal(path), _find_wal(copy))):
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copyfile(source, target)
    if _read_state(path) != before or not before.is_settled(time.time_ns()):
        raise _busy_error(path)


@dataclass(frozen=True)
class _State:
    """File attributes that change when a catalog file or its log changes, or a writer arrives."""

    stamps: tuple[tuple[int, int, int] | None, ...]

    def is_settled(self, now_ns: int) -> bool:
        """Return whether the last change is old enough that a further one would be visible."""
        return all(stamp is None or now_ns - stamp[2] > _SETTLED_S * 1e9 for stamp in self.stamps)


def _read_state(path: Path) -> _State:
    return _State(tuple(_read_stamp(file) for file in (path, _find_wal(path), _find_shm(path))))


def _read_stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        file_stat = path.stat()
    except FileNotFoundError:
        return None
    return file_stat.st_ino, file_stat.st_size, file_stat.st_mtime_ns


@contextmanager
def _open_catalog(path: Path, *, immutable: bool = False) -> Iterator[sqlite3.Connection]:
    uri = f"file:{quote(str(path))}?mode=ro{'&immutable=1' if immutable else ''}"
    with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S)) as catalog:
        yield catalog


def _find_wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _find_shm(path: Path) -> Path:
    return path.with_name(f"{path.name}-shm")


def _busy_error(path: Path) -> LogBusyError:
    return LogBusyError("the catalog changes while it is copied for reading", where=str(path), todo="try again")


def _read_error(path: Path, reason: str) -> LogError:
    return LogError(
        f"the catalog cannot be read: {reason}", where=str(path), todo="ask its owner for the right to read the lake's folder"
    )
