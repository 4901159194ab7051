"""A SQLite catalog as a file: is it damaged, and how does it read for those who may not write beside it?"""

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
"""How old a change of a file must be for its time of change to tell of the next one: file systems count time in ticks."""
_BUSY_S = 5.0

_copies: WeakKeyDictionary[duckdb.DuckDBPyConnection, TemporaryDirectory[str]] = WeakKeyDictionary()
"""The copy that a connection reads; it is removed with the connection, or when the connection reads another."""


def damage_of(path: Path) -> DamagedError | None:
    """What SQLite finds wrong in a catalog file; None where nothing is."""
    try:
        with _opened(path, immutable=not _wal(path).exists()) as catalog:
            (found,) = catalog.execute("PRAGMA quick_check(1)").fetchone()
    except UnicodeDecodeError:
        found = "its text is not UTF-8"
    except sqlite3.OperationalError:
        # It cannot be looked at (rights, a lock), which is no damage.
        return None
    except sqlite3.DatabaseError as error:
        found = str(error)
    return None if found == "ok" else DamagedError(f"the catalog is damaged: {found}", where=str(path), todo=_RESTORE)


def lost(path: Path, data: str) -> DamagedError | None:
    """The error of a catalog that is missing or empty although commits have left data files; None where there are none."""
    if "://" in data or (path.exists() and path.stat().st_size) or not any(Path(data).glob("events/position/*.parquet")):
        return None
    state = "empty" if path.exists() else "missing"
    return DamagedError(f"the catalog is {state}, but the lake holds data", where=str(path), todo=_RESTORE)


def readable(path: Path, connection: duckdb.DuckDBPyConnection) -> Path:
    """The file that `connection` can attach for reading: `path`, or a copy of it as of now.

    SQLite keeps an index of its log beside the catalog, and even a reader writes into it. So a copy is made for a process that may
    not write there; it lasts as long as the connection. Raises `LogError` where the catalog cannot be read, `LogBusyError` where
    writers leave no moment to copy it.
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
    """Copies a catalog as of now, without writing beside it; raises `LogError` and `LogBusyError` as `readable` does."""
    try:
        if _shm(path).exists():
            # A writer is at work, or one was killed: SQLite reads what is committed, under the locks of its index.
            _copy_by_sqlite(path, copy)
        else:
            _copy_files(path, copy)
    except PermissionError as error:
        raise _unreadable(path, str(error.strerror)) from None
    except sqlite3.OperationalError as error:
        if _shm(path).exists():
            raise _unreadable(path, str(error)) from None
        raise _busy(path) from None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise damage_of(path) or _unreadable(path, str(error)) from None


def _copy_by_sqlite(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    with _opened(path) as catalog, closing(sqlite3.connect(copy)) as target:
        catalog.backup(target)


def _copy_files(path: Path, copy: Path) -> None:
    """Copies the catalog and its log as files; raises `LogBusyError` where one of them changed meanwhile."""
    before = _state(path)
    for source, target in ((path, copy), (_wal(path), _wal(copy))):
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copyfile(source, target)
    if _state(path) != before or not before.is_settled(time.time_ns()):
        raise _busy(path)


@dataclass(frozen=True)
class _State:
    """What shows that a catalog file or its log has changed, or that a writer has come."""

    stamps: tuple[tuple[int, int, int] | None, ...]

    def is_settled(self, now_ns: int) -> bool:
        """Whether the last change is so long ago that a further one would have shown."""
        return all(stamp is None or now_ns - stamp[2] > _SETTLED_S * 1e9 for stamp in self.stamps)


def _state(path: Path) -> _State:
    return _State(tuple(_stamp(file) for file in (path, _wal(path), _shm(path))))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _opened(path: Path, *, immutable: bool = False) -> Iterator[sqlite3.Connection]:
    uri = f"file:{quote(str(path))}?mode=ro{'&immutable=1' if immutable else ''}"
    with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S)) as catalog:
        yield catalog


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _shm(path: Path) -> Path:
    return path.with_name(f"{path.name}-shm")


def _busy(path: Path) -> LogBusyError:
    return LogBusyError("the catalog changes while it is copied for reading", where=str(path), todo="ask again")


def _unreadable(path: Path, reason: str) -> LogError:
    return LogError(
        f"the catalog cannot be read: {reason}", where=str(path), todo="ask its owner for the right to read the lake's folder"
    )
