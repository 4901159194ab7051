"""Destination of anchors: a folder, one file, or the standard input of a command."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from trueup.errors import ConfigError, LogBusyError, TrueupError
from trueup.proof.anchors.statement import Anchor, read

NAME_PLACEHOLDER = "{name}"
"""Placeholder in the arguments of a command for the name of the anchor's file."""

_LOCK = ".anchor.lock"
_LOCK_WAIT_S = 600.0
_NAME = re.compile(r"^anchor-(\d{12,})-(\d{12,})\.json$")


@dataclass(frozen=True)
class Destination:
    """A folder with all anchors of one lake, and the file in it to write (None: a file that is named by position)."""

    folder: Path
    file: Path | None = None

    @classmethod
    def of(cls, path: Path) -> Destination:
        """Return the destination of a path: a path that ends in `.json` is a file, any other path is a folder."""
        return cls(path.parent, path) if path.suffix == ".json" and not path.is_dir() else cls(path)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Create the folder and lock it among all processes: concurrent anchors would have the same previous anchor.

        Raises `LogBusyError` where another process holds the lock too long, `TrueupError` where the folder cannot be written to.
        """
        try:
            if self.file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
            held = filelock.FileLock(str(self.folder / _LOCK))
            held.acquire(timeout=_LOCK_WAIT_S)
        except filelock.Timeout:
            raise LogBusyError(
                "another process writes an anchor here", where=str(self.folder), todo="wait for it to end, or stop it"
            ) from None
        except OSError as error:
            raise _write_error(self.folder, error) from None
        try:
            yield
        finally:
            held.release()

    def newest(self) -> Path | None:
        """Return the newest anchor in the folder by name, None without any."""
        if not self.folder.is_dir():
            return None
        matches = ((_NAME.match(path.name), path) for path in self.folder.iterdir())
        anchors = [((int(name[1]), int(name[2])), path) for name, path in matches if name]
        return max(anchors)[1] if anchors else None

    def write(self, anchor: Anchor) -> Path:
        """Write the anchor; raise `TrueupError` where its file exists or cannot be written: an anchor is never overwritten."""
        target = self.file or self.folder / anchor.name
        try:
            _write_new(target, anchor.to_bytes())
        except FileExistsError:
            raise TrueupError("an anchor is never overwritten", where=str(target), todo="name another file or a folder") from None
        except OSError as error:
            raise _write_error(target, error) from None
        return target


def _write_error(path: Path, error: OSError) -> TrueupError:
    return TrueupError(f"the anchor cannot be written: {error.strerror or error}", where=str(path), todo="name another place")


def anchors_in(path: Path) -> list[Path]:
    """Return the anchors that a path names: the file, or all files of a folder that are named like anchors.

    Raises `TrueupError` where there is none.
    """
    if path.is_dir():
        anchors = sorted(entry for entry in path.iterdir() if _NAME.match(entry.name))
        if not anchors:
            raise TrueupError("there is no anchor in this folder", where=str(path), todo="name another, or a file")
        return anchors
    if not path.exists():
        raise TrueupError("there is no such anchor", where=str(path), todo="name a file that `trueup anchor` wrote, or a folder")
    return [path]


def read_newest(destination: Destination) -> Anchor | None:
    """Return the newest anchor of a destination's folder; raise `AnchorError` if its file is not an anchor."""
    path = destination.newest()
    return None if path is None else read(path)


def send(anchor: Anchor, command: str, *, timeout_s: float) -> None:
    """Run a command, without a shell, with the anchor as its standard input; `{name}` in it is the name of the anchor's file.

    Raises `ConfigError` for an invalid command, `TrueupError` where it cannot be started, takes longer than `timeout_s` or
    ends with another status than 0.
    """
    arguments = [argument.replace(NAME_PLACEHOLDER, anchor.name) for argument in arguments_of(command)]
    where = arguments[0]
    try:
        process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise TrueupError(
            f"the command for anchors cannot be started: {error.strerror or error}", where=where, todo="check --to-command"
        ) from None
    with process:
        try:
            _, message = process.communicate(anchor.to_bytes(), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise TrueupError(
                f"the command for anchors took longer than {timeout_s:g} s",
                where=where,
                todo="raise [anchor] timeout",
            ) from None
        finally:
            if process.poll() is None:
                # The command leads its own process group: processes that it started end with it.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        lines = message.decode("utf-8", "replace").strip().splitlines()
        reason = f": {lines[-1][:200]}" if lines else ""
        raise TrueupError(
            f"the command for anchors ended with status {process.returncode}{reason}",
            where=where,
            todo="correct it and anchor again",
        )


def arguments_of(command: str) -> list[str]:
    """Return the words of a command, as a POSIX shell splits them; raise `ConfigError` for an empty command."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"the command for anchors cannot be split into words: {error}", where="to_command") from None
    if not words:
        raise ConfigError("the command for anchors is empty", todo="write a program and its arguments")
    return words


def _write_new(target: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it, so that it is always complete; raise `FileExistsError`."""
    if os.path.lexists(target):
        raise FileExistsError(target)
    building = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with building.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        building.rename(target)
    finally:
        building.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
