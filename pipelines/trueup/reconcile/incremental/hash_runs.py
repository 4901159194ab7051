"""Hash runs: hashes in immutable sorted files, on disk instead of in memory or in the state of a job.

A store is a folder of runs. A run has ascending hashes and is named by a digest of its content, so writing it again gives the same
file. A job's state names its runs. If a run is missing or damaged, the state is rebuilt from the log.

>>> from tempfile import TemporaryDirectory
>>> folder = TemporaryDirectory()
>>> store = HashRunStore(Path(folder.name), min_hashes=2)
>>> first = store.write([np.array([7, 9], dtype=np.uint64)], replaced=[])
>>> merged = store.write([np.array([1, 7], dtype=np.uint64)], replaced=[first])
>>> merged.hashes.tolist()
[1, 7, 9]
>>> again = store.write([np.array([1, 7, 9], dtype=np.uint64)], replaced=[])
>>> again.name == merged.name, store.open(merged.name).verify_checksum(), store.open("unknown.hashes")
(True, True, None)
>>> folder.cleanup()
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

from trueup.errors import LogError
from trueup.log.lake import BucketRange
from trueup.reconcile.domain.record_hashes import Hashes

MIN_HASHES_PER_RUN = 1 << 16
"""The minimum number of hashes in a file; fewer hashes stay in memory."""
ORPHAN_RUN_TTL_S = 3_600
"""How long a file is kept after no state names it, because the last checkpoint may still name it."""
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
        """The name of the file, as a state names it."""
        return self.path.name

    def __len__(self) -> int:
        return len(self._map) // _STORED.itemsize

    @property
    def hashes(self) -> Hashes:
        """All hashes. Pages that are read stay in this process's memory until `release_pages` is called."""
        return np.frombuffer(self._map, dtype=_STORED)

    def release_pages(self) -> None:
        """Release the memory of the pages that were read."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def verify_checksum(self) -> bool:
        """Return whether the content of the file has the digest in its name."""
        digest = blake2b(digest_size=16)
        for at in range(0, len(self._map), _CHUNK):
            digest.update(self._map[at : at + _CHUNK])
        self.release_pages()
        return self.name == digest.hexdigest() + _SUFFIX


@dataclass(frozen=True)
class HashRunStore:
    """A folder of hash runs of one range of buckets; fewer than `min_hashes` hashes are not written to a file."""

    folder: Path
    min_hashes: int = MIN_HASHES_PER_RUN

    def write(self, runs: Sequence[Hashes], replaced: Sequence[HashRun]) -> HashRun:
        """Write all hashes of some arrays, and of the files that they replace, as one file, with only a part in memory at a time.

        Raises `LogError` where the file cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = self._write_run(_merge_sorted([*runs, *(old.hashes for old in replaced)]), replaced)
        except OSError as error:
            raise LogError(
                f"keys of settled records cannot be written: {error.strerror}", where=str(self.folder),
                todo="make room there, then start the job again: it resumes from its last checkpoint",
            ) from None  # fmt: skip
        for old in replaced:
            # The time to live of a replaced file begins now.
            if old.path.exists():
                os.utime(old.path)
        return HashRun(self.folder / name)

    def _write_run(self, parts: Iterator[Hashes], replaced: Sequence[HashRun]) -> str:
        digest = blake2b(digest_size=16)
        with NamedTemporaryFile(dir=self.folder, suffix=_UNFINISHED, delete=False) as file:
            for hashes in parts:
                data = hashes.astype(_STORED).tobytes()
                digest.update(data)
                file.write(data)
                for old in replaced:
                    old.release_pages()
        name = digest.hexdigest() + _SUFFIX
        # A file with its final name is complete.
        Path(file.name).rename(self.folder / name)
        return name

    def open(self, name: str) -> HashRun | None:
        """Open a file by its name; return None where the file is missing or has another content."""
        path = self.folder / name
        if not path.is_file() or not path.stat().st_size:
            return None
        run = HashRun(path)
        return run if run.verify_checksum() else None

    def prune(self, named: Sequence[HashRun]) -> None:
        """Remove files that no state names and that are more than `ORPHAN_RUN_TTL_S` older than the newest file."""
        changed_s = {path: path.stat().st_mtime for path in self.folder.iterdir() if path.exists()}
        newest_s, names = max(changed_s.values(), default=0.0), {run.name for run in named}
        for path, modified_s in changed_s.items():
            if path.name not in names and modified_s < newest_s - ORPHAN_RUN_TTL_S:
                path.unlink(missing_ok=True)


def store_for(folder: Path, buckets: BucketRange, min_hashes: int = MIN_HASHES_PER_RUN) -> HashRunStore:
    """Return the store of a range of buckets, in a folder of stores."""
    return HashRunStore(folder / f"{buckets.first}-{buckets.last}", min_hashes)


def remove_stale_stores(stores: Path, ranges: Sequence[BucketRange]) -> None:
    """Remove the stores of former ranges of buckets, which no job uses any more; keep all other files."""
    named = {store_for(stores, buckets).folder for buckets in ranges}
    for folder in stores.iterdir() if stores.is_dir() else ():
        if folder in named or not _NAME.fullmatch(folder.name) or not folder.is_dir():
            continue
        # A file that cannot be removed does no harm.
        with suppress(OSError):
            for path in (*folder.glob(f"*{_SUFFIX}"), *folder.glob(f"*{_UNFINISHED}")):
                path.unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()


def _merge_sorted(runs: Sequence[Hashes]) -> Iterator[Hashes]:
    """Yield the union of ascending hashes, ascending, in parts of a bounded length."""
    edges = max(runs, key=len)[_CHUNK::_CHUNK].copy()
    low = [0] * len(runs)
    for edge in (*edges, None):
        high = [len(run) if edge is None else int(np.searchsorted(run, edge)) for run in runs]
        yield np.unique(np.concatenate([run[a:b] for run, a, b in zip(runs, low, high, strict=True)]))
        low = high
