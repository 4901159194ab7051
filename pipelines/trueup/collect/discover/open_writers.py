"""Detection of processes that still write a file, as far as this machine shows them."""

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
    return any(
        _writes(process, device, inode)
        for process in (_PROC.iterdir() if _PROC.is_dir() else ())
        if process.name.isdigit() and process.name != own
    )


def _writes(process: Path, device: int, inode: int) -> bool:
    # A process may end meanwhile, belong to another user, or close a file between two checks.
    with suppress(OSError), os.scandir(process / "fd") as descriptors:
        for descriptor in descriptors:
            with suppress(OSError):
                held = Path(descriptor.path).stat()
                if (held.st_dev, held.st_ino) == (device, inode) and _is_for_writing(process, descriptor.name):
                    return True
    return False


def _is_for_writing(process: Path, descriptor: str) -> bool:
    for line in (process / "fdinfo" / descriptor).read_text().splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False
