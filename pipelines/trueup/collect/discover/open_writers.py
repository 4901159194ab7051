"""Detect processes that still write a file, as far as this machine shows them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def is_being_written(device: int, inode: int) -> bool:
    """Return whether a visible process has the file open for writing.

    Only processes of the same user are visible (all as root), and only on Linux. The check catches a slow writer between two
    of its writes, when size and modification time do not change.
    """
    own = str(os.getpid())
    # A machine has thousands of open descriptors, and every file of a source checks all of them: path objects would cost more.
    processes = os.listdir(_PROC) if _PROC.is_dir() else ()  # noqa: PTH208 - as text
    return any(_has_open_for_writing(f"{_PROC}/{name}", device, inode) for name in processes if name.isdigit() and name != own)


def _has_open_for_writing(process: str, device: int, inode: int) -> bool:
    # A process may end meanwhile, belong to another user, or close a file between two checks.
    with suppress(OSError), os.scandir(f"{process}/fd") as descriptors:
        for descriptor in descriptors:
            with suppress(OSError):
                held = descriptor.stat()
                if (held.st_dev, held.st_ino) == (device, inode) and _is_for_writing(process, descriptor.name):
                    return True
    return False


def _is_for_writing(process: str, descriptor: str) -> bool:
    for line in Path(process, "fdinfo", descriptor).read_text().splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False
