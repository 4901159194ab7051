"""The temporary folder of one running page. Its copies of the log's data do not outlast the page, however the page ends.

A page that ends deletes its folder. A killed one cannot, so the next page deletes the folders of pages that no longer run. Each
page holds a lock in its folder, which the system releases with the process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "trueup-workbench-"
_LOCK = "lock"


class CopyFolder:
    """A new temporary folder, which only its owner can read."""

    def __init__(self) -> None:
        _delete_abandoned()
        self._folder, self._lock = _create_locked()
        self.path = Path(self._folder.name)

    def new_folder(self, name: str) -> tempfile.TemporaryDirectory[str]:
        """Create a folder inside of this one."""
        return tempfile.TemporaryDirectory(prefix=f"{name}-", dir=self.path, ignore_cleanup_errors=True)

    def delete(self) -> None:
        """Delete the folder and all that it holds."""
        self._folder.cleanup()
        self._lock.release()


def _create_locked() -> tuple[tempfile.TemporaryDirectory[str], FileLock]:
    while True:
        folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        lock = FileLock(Path(folder.name, _LOCK))
        # Another page that starts may find the folder before it is locked, and delete it.
        with contextlib.suppress(FileNotFoundError):
            lock.acquire()
            if Path(folder.name, _LOCK).exists():
                return folder, lock


def _delete_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Another page may delete the folder meanwhile, and a running page holds the lock of its own.
        with contextlib.suppress(OSError, Timeout):
            if folder.lstat().st_uid == os.getuid() and (folder / _LOCK).is_file():
                with FileLock(folder / _LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
