"""Opening what others deliver: only regular files are opened, whatever lies at the path."""

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
    """What lies at a path is no regular file, or not one that may be read; `strerror` names what it is, `fault` its kind."""

    def __init__(self, reason: str, fault: Fault = "irregular") -> None:
        super().__init__(errno.EINVAL, reason)
        self.fault = fault


def refuse_irregular(mode: int) -> None:
    """Raises `NotRegularError` for the mode of anything but a regular file."""
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise NotRegularError(f"this is {kind}, not a file", "directory" if stat.S_ISDIR(mode) else "irregular")


def open_regular(path: Path, *, within: Path | None = None) -> BinaryIO:
    """Opens a regular file to be read; raises `NotRegularError` for anything else, and `OSError`.

    A device is looked at before it is opened, since opening may act on it. What is open is looked at again, since the path may lead
    to something else by then; opening waits for no writer of a pipe. With `within`, a file outside of that folder is refused.
    """
    try:
        refuse_irregular(path.stat().st_mode)
    except OSError as error:
        raise _of_link(path, error) from None
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
    """The bytes of a regular file; raises `NotRegularError`, also for more than `max_bytes`, and `OSError`."""
    with open_regular(path, within=within) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise NotRegularError(f"the file is longer than {max_bytes} bytes", "too_long")
    return data


def _of_link(path: Path, error: OSError) -> OSError:
    """The error of a path that cannot be looked at: a symbolic link says so."""
    if error.errno == errno.ELOOP:
        return NotRegularError("this is a symbolic link that leads to itself")
    if error.errno == errno.ENOENT and path.is_symlink():
        return NotRegularError(f"this is a symbolic link to {path.readlink()}, which is not there")
    return error


def _refuse_outside(descriptor: int, path: Path, within: Path) -> None:
    # Linux names the file that is open, so that a path swapped after the look deceives nobody.
    held = Path(f"/proc/self/fd/{descriptor}")
    real = Path(os.path.realpath(held if held.exists() else path))
    if not real.is_relative_to(os.path.realpath(within)):
        raise NotRegularError(f"this is a symbolic link to {real}, outside of {within}", "outside")
