"""The folder of the continuous job: its checkpoints and savepoints, its hash runs, and the files that it writes while it runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trueup.config import Project
from trueup.errors import LogError

HASH_RUNS = "shelves"
"""Folder with the hash runs of settled keys; the name stays, since stored state refers to these files."""
PROGRESS = "progress.json"
"""File with the counts of the last epoch, written by the commit operator."""
FLINK_LOG = "flink.log"
"""File with the output of the Java process and its workers."""
TEMPORARY = "tmp"
"""Folder for temporary files of Flink."""
_STATES = ("checkpoints", "savepoints")


def state_folder(project: Project, named: Path | None = None) -> Path:
    """Return the folder of the job's state as an absolute path: the one that the user named, else the one of the project."""
    return Path(project.resolve("stream")) if named is None else named.absolute()


def last_state(folder: Path) -> Path | None:
    """Return the newest complete checkpoint or savepoint below a folder, or None."""
    newest = max(_list_complete_states(folder), default=None)
    return None if newest is None else Path(newest[1])


def last_state_ns(folder: Path) -> int | None:
    """Return when the newest complete checkpoint or savepoint was written, in ns since 1970; None without one."""
    newest = max(_list_complete_states(folder), default=None)
    return None if newest is None else newest[0]


def _list_complete_states(folder: Path) -> Iterator[tuple[int, str]]:
    """Yield the time and the path of each complete checkpoint and savepoint."""
    # Flink may remove an older checkpoint at the same time: `os.walk` passes over folders that are missing by then.
    for states in (folder / name for name in _STATES):
        for parent, _, files in os.walk(states):
            if "_metadata" in files:
                with suppress(FileNotFoundError):
                    yield Path(parent, "_metadata").stat().st_mtime_ns, parent


def prune_state(folder: Path) -> None:
    """Remove all checkpoints and savepoints but the last."""
    last = last_state(folder)
    for states in (folder / name for name in _STATES):
        for state in states.iterdir() if states.exists() else ():
            if last is None or not last.is_relative_to(state):
                shutil.rmtree(state, ignore_errors=True)


def discard_state(folder: Path) -> None:
    """Remove all that a job has written to its folder, and keep all other files there.

    The caller holds the reconciler lock, so that no running job loses its state. Raises `LogError` where a file cannot be removed.
    """
    for name in (*_STATES, HASH_RUNS, PROGRESS, FLINK_LOG, TEMPORARY):
        path = folder / name
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise LogError(
                f"the state of the stream cannot be removed: {error.strerror}",
                where=str(path),
                todo="remove it, then start the job again",
            ) from None
