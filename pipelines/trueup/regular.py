"""Delivered files: only regular files are opened, never pipes, devices or other entries at the path."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Literal

_KINDS = {
    stat.S_IFIFO: "a named pipe (FIFO)", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device", stat.S_IFDIR: "a directory",
}  # fmt: skip


Fault = Literal["irregular", "directory", "outside", "too_long"]


class NotRegularError(OSError):
    """A path leads to no regular file, or to one outside of its limits; `strerror` names the entry, `fault` its kind."""

    def __init__(self, reason: str, fault: Fault = "irregular") -> None:
        super().__init__(errno.EINVAL, reason)
        self.fault = fault


def refuse_irregular(mode: int) -> None:
    """Raise `NotRegularError` unless the mode denotes a regular file."""
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise NotRegularError(f"this is {kind}, not a file", "directory" if stat.S_ISDIR(mode) else "irregular")


def open_regular(path: Path, *, within: Path | None = None) -> BinaryIO:
    """Open a regular file for reading; raise `NotRegularError` for any other entry, and `OSError`.

    The type is checked before the open, because opening a device may act on it. It is checked again on the open file, because the
    path may have changed meanwhile. The open never blocks on the writer of a pipe. With `within`, a file outside of that folder is
    refused.
    """
    try:
        refuse_irregular(path.stat().st_mode)
    except OSError as error:
        raise _link_error(path, error) from None
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        refuse_irregular(os.fstat(descriptor).st_mode)
        if within is not None:
            _refuse_outside(descriptor, path, within)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, *, max_bytes: int, within: Path | None = None) -> bytes:
    """Return the bytes of a regular file; raise `NotRegularError`, also for more than `max_bytes`, and `OSError`."""
    with open_regular(path, within=within) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise NotRegularError(f"the file is longer than {max_bytes} bytes", "too_long")
    return data


def _link_error(path: Path, error: OSError) -> OSError:
    """Return the error of a path that `stat` refuses; for a symbolic link, an error that names it."""
    if error.errno == errno.ELOOP:
        return NotRegularError("this is a symbolic link that leads to itself")
    if error.errno == errno.ENOENT and path.is_symlink():
        return NotRegularError(f"this is a symbolic link to {path.readlink()}, which is not there")
    return error


def _refuse_outside(descriptor: int, path: Path, within: Path) -> None:
    # Linux names the open file, so a path that was swapped after the check is detected.
    held = Path(f"/proc/self/fd/{descriptor}")
    real = Path(os.path.realpath(held if held.exists() else path))
    if not real.is_relative_to(os.path.realpath(within)):
        raise NotRegularError(f"this is a symbolic link to {real}, outside of {within}", "outside")
