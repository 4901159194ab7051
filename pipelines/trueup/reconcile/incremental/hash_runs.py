"""Hashes in files: what grows with the log lies on disk, neither in memory nor in the state of a job.

A shelf is a folder of files that never change, each of ascending hashes and named by what it holds, so that writing one again
writes the same. A state says which files are its own. One that is gone or damaged is no loss: the state is made of the log again.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray

from trueup.errors import LogError
from trueup.log.lake import BucketRange

Hashes = NDArray[np.uint64]
MIN_HASHES_PER_RUN = 1 << 16
"""How many hashes are worth a file; fewer are in memory."""
ORPHAN_RUN_TTL_S = 3_600
"""How long a file stays that no memory names any more: the last checkpoint, from which a job would go on, may still name it."""
_STORED = np.dtype("<u8")
_CHUNK = 1 << 20
_SUFFIX, _UNFINISHED = ".hashes", ".part"
_NAME = re.compile(r"\d+-\d+")


class HashRun:
    """Ascending hashes in a file, each once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    @property
    def name(self) -> str:
        """What a state calls the file."""
        return self.path.name

    def __len__(self) -> int:
        return len(self._map) // _STORED.itemsize

    @property
    def hashes(self) -> Hashes:
        """All of them; what is looked at stays in this process's memory until it is `let_go`."""
        return np.frombuffer(self._map, dtype=_STORED)

    def release_pages(self) -> None:
        """Keeps nothing in memory of what was read."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def verify_checksum(self) -> bool:
        """Whether the file holds what its name says."""
        digest = blake2b(digest_size=16)
        for at in range(0, len(self._map), _CHUNK):
            digest.update(self._map[at : at + _CHUNK])
        self.release_pages()
        return self.name == digest.hexdigest() + _SUFFIX


@dataclass(frozen=True)
class HashRunStore:
    """A folder of hashes of one range of buckets; fewer than `least` are not worth a file."""

    folder: Path
    min_hashes: int = MIN_HASHES_PER_RUN

    def write(self, runs: Sequence[Hashes], replaced: Sequence[HashRun]) -> HashRun:
        """All hashes of some runs, and of files that are no longer needed then, as one file; little is in memory at a time.

        Raises `LogError` where it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = self._written(_merge_sorted([*runs, *(old.hashes for old in replaced)]), replaced)
        except OSError as error:
            raise LogError(
                f"keys of settled records cannot be written: {error.strerror}", where=str(self.folder),
                todo="make room there, then start the job again: it goes on where it was",
            ) from None  # fmt: skip
        for old in replaced:
            # From now on it is counted how long it is not needed.
            if old.path.exists():
                os.utime(old.path)
        return HashRun(self.folder / name)

    def _written(self, parts: Iterator[Hashes], replaced: Sequence[HashRun]) -> str:
        digest = blake2b(digest_size=16)
        with NamedTemporaryFile(dir=self.folder, suffix=_UNFINISHED, delete=False) as file:
            for hashes in parts:
                data = hashes.astype(_STORED).tobytes()
                digest.update(data)
                file.write(data)
                for old in replaced:
                    old.release_pages()
        name = digest.hexdigest() + _SUFFIX
        # Whole as soon as it has its name.
        Path(file.name).rename(self.folder / name)
        return name

    def open(self, name: str) -> HashRun | None:
        """A file by its name; None where there is none that holds what it should."""
        path = self.folder / name
        if not path.is_file() or not path.stat().st_size:
            return None
        found = HashRun(path)
        return found if found.verify_checksum() else None

    def prune(self, named: Sequence[HashRun]) -> None:
        """Removes the files that have not been needed for long: those older than the newest by more than `UNNAMED_KEPT_S`."""
        changed_s = {path: path.stat().st_mtime for path in self.folder.iterdir() if path.exists()}
        newest_s, names = max(changed_s.values(), default=0.0), {one.name for one in named}
        for path, at_s in changed_s.items():
            if path.name not in names and at_s < newest_s - ORPHAN_RUN_TTL_S:
                path.unlink(missing_ok=True)


def store_for(shelves: Path, buckets: BucketRange, min_hashes: int = MIN_HASHES_PER_RUN) -> HashRunStore:
    """The shelf of a range of buckets, in a folder of shelves."""
    return HashRunStore(shelves / f"{buckets.first}-{buckets.last}", min_hashes)


def remove_stale_stores(shelves: Path, ranges: Sequence[BucketRange]) -> None:
    """Removes the shelves of other ranges of buckets, which nobody fills any more; nothing else that lies there."""
    named = {store_for(shelves, buckets).folder for buckets in ranges}
    for folder in shelves.iterdir() if shelves.is_dir() else ():
        if folder in named or not _NAME.fullmatch(folder.name) or not folder.is_dir():
            continue
        # What cannot be removed is in nobody's way.
        with suppress(OSError):
            for path in (*folder.glob(f"*{_SUFFIX}"), *folder.glob(f"*{_UNFINISHED}")):
                path.unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()


def _merge_sorted(runs: Sequence[Hashes]) -> Iterator[Hashes]:
    """The union of ascending hashes, ascending, in parts of a length that may be in memory."""
    edges = max(runs, key=len)[_CHUNK::_CHUNK].copy()
    low = [0] * len(runs)
    for edge in (*edges, None):
        high = [len(run) if edge is None else int(np.searchsorted(run, edge)) for run in runs]
        yield np.unique(np.concatenate([run[a:b] for run, a, b in zip(runs, low, high, strict=True)]))
        low = high
