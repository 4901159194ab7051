"""The log of actions: each action of a person on the page, one JSON object per line, chained by hashes.

The log is a file outside the lake, so a reader of a page neither waits for a writer nor delays one. Decisions are recorded as
events of the lake as well.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from trueup.clock import Clock
from trueup.errors import TrueupError
from trueup.secret import mask
from trueup.workbench.access.users import User

FILE_NAME = "workbench-actions.ndjson"
_MOST_CHARACTERS = 4_000


class ActionLog:
    """Appends actions to the file; several servers of one project share it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.path, self._clock = folder / FILE_NAME, clock
        self._lock, self._between_processes = threading.Lock(), FileLock(f"{self.path}.lock")

    def append(self, user: User | None, action: str, subject: str = "", **details: Any) -> None:
        """Append one action on `subject`. Raises `TrueupError` where the file cannot be written."""
        entry: dict[str, Any] = {
            "at": self._clock().isoformat(),
            "user": user.name if user else None,
            "role": user.role if user else None,
            "action": action,
            "subject": mask(subject[:_MOST_CHARACTERS]),
            "details": {name: mask(str(value)[:_MOST_CHARACTERS]) for name, value in details.items()},
        }
        try:
            with self._lock, self._between_processes:
                previous = _last_entry(self.path)
                entry = {"sequence_no": previous["sequence_no"] + 1 if previous else 1, **entry}
                entry["previous_hash"] = previous["hash"] if previous else ""
                entry["hash"] = _hash_of(entry)
                # O_APPEND and one write: a crash leaves a whole line or its beginning, never two lines mixed.
                descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                try:
                    os.write(descriptor, (_format_entry(entry) + "\n").encode())
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise TrueupError(
                f"the action cannot be logged: {error.strerror}", where=str(self.path), todo="free the disk, or correct the rights"
            ) from None

    def newest(self, most: int) -> list[dict[str, Any]]:
        """Return the newest actions, newest first."""
        return list(self.entries())[-most:][::-1]

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield all actions, oldest first; raise `TrueupError` at the first line that was changed, left out or cut."""
        if not self.path.exists():
            return
        previous: dict[str, Any] = {"sequence_no": 0, "hash": ""}
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                entry = _parse_entry(line)
                follows = entry is not None and entry.get("previous_hash") == previous["hash"] and entry["hash"] == _hash_of(entry)
                if entry is None or not follows or entry["sequence_no"] != previous["sequence_no"] + 1:
                    raise TrueupError(
                        "the log of actions was changed", where=f"{self.path}, line {number}", todo="compare it with a backup"
                    )
                yield entry
                previous = entry


def _last_entry(path: Path) -> dict[str, Any] | None:
    """Return the last line of the file; raise `TrueupError` where it is not an entry."""
    if not path.exists() or not path.stat().st_size:
        return None
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 64 * _MOST_CHARACTERS))
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    entry = _parse_entry(last.decode("utf-8", "replace"))
    if entry is None:
        raise TrueupError("the log of actions ends within a line", where=str(path), todo="move it away, and keep it")
    return entry


def _parse_entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("sequence_no"), int) and "hash" in entry else None


def _hash_of(entry: dict[str, Any]) -> str:
    return hashlib.sha256(_format_entry({key: value for key, value in entry.items() if key != "hash"}).encode()).hexdigest()


def _format_entry(entry: dict[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"))
