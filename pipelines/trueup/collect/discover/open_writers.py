"""Whether some process still writes a file, as far as this machine can tell."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def is_being_written(device: int, inode: int) -> bool:
    """Whether a process that may be looked at holds the file open for writing.

    Sees the processes of the same user (all of them as root) on Linux and nothing elsewhere: a hint that catches a slow
    writer between two of its writes, where size and time of change stand still.
    """
    own = str(os.getpid())
    return any(
        _writes(process, device, inode)
        for process in (_PROC.iterdir() if _PROC.is_dir() else ())
        if process.name.isdigit() and process.name != own
    )


def _writes(process: Path, device: int, inode: int) -> bool:
    # A process may end meanwhile, belong to somebody else, or close a file between two looks.
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
