"""Keys of records that are kept no longer, as hashes: enough to notice that something of theirs has come again.

Eight bytes for a key instead of a row, on disk where there are many. Two keys of one hash cost a reading of the log that was not
needed, and nothing else.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.reconcile.incremental.hash_runs import Hashes, HashRun, HashRunStore

NO_HASHES: Hashes = np.empty(0, dtype=np.uint64)
HASHING = f"polars {pl.__version__}"
"""Who makes the hashes: another version may make others of the same keys."""
_SESSION, _RECORD = ("scope", "session_key"), ("charge", "key_scope", "scope", "record_key")
NAMES = ("session_key", *_RECORD)
"""The columns that name a record and its session."""


@dataclass(frozen=True)
class SettledKeyIndex:
    """A growing set of hashes, as sorted runs each more than twice as long as the next: adding rewrites little of it.

    With a shelf fewer than are worth a file are in memory; the others lie there, in runs of the same kind.
    """

    runs: tuple[Hashes, ...] = ()
    files: tuple[HashRun, ...] = ()
    store: HashRunStore | None = None

    def __len__(self) -> int:
        return sum(map(len, self.runs)) + sum(map(len, self.files))

    def contains(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which of some hashes are in the set."""
        # Looked for in their order they are found many times as fast: neighbours lie in one line of the cache.
        order = np.argsort(hashes)
        asked = hashes[order]
        found = np.zeros(len(hashes), dtype=np.bool_)
        for run in self.runs:
            found |= _among(run, asked)
        for file in self.files:
            found |= _among(file.hashes, asked)
            file.release_pages()
        held = np.empty_like(found)
        held[order] = found
        return held

    def add(self, hashes: Hashes) -> SettledKeyIndex:
        """The set with more in it."""
        new = np.unique(hashes)
        if not len(new):
            return self
        runs = list(self.runs)
        while runs and len(runs[-1]) <= 2 * len(new):
            new = np.unique(np.concatenate([runs.pop(), new]))
        length = sum(map(len, runs)) + len(new)
        if self.store is None or length < self.store.min_hashes:
            return replace(self, runs=(*runs, new))
        files, joined = list(self.files), list[HashRun]()
        while files and len(files[-1]) <= 2 * length:
            joined.append(files.pop())
            length += len(joined[-1])
        files.append(self.store.write([*runs, new], joined))
        self.store.prune(files)
        return SettledKeyIndex((), tuple(files), self.store)


def _among(run: Hashes, asked: Hashes) -> NDArray[np.bool_]:
    """Which of some hashes are in a run."""
    at = np.searchsorted(run, asked)
    found: NDArray[np.bool_] = run[np.minimum(at, len(run) - 1)] == asked
    return found


def session_hashes(rows: pl.DataFrame) -> Hashes:
    """A hash of each row's session key; of rows without one it means nothing."""
    return _hashed(rows, _SESSION, seed=11)


def record_hashes(rows: pl.DataFrame) -> Hashes:
    """A hash of each row's record: its stream, scopes and key."""
    return _hashed(rows, _RECORD, seed=23)


def is_duplicated(hashes: Hashes) -> NDArray[np.bool_]:
    """Which of some hashes are there more than once."""
    ascending = np.sort(hashes)
    twice = ascending[1:][ascending[1:] == ascending[:-1]]
    return np.isin(hashes, twice) if len(twice) else np.zeros(len(hashes), dtype=np.bool_)


def _hashed(rows: pl.DataFrame, names: tuple[str, ...], *, seed: int) -> Hashes:
    mixed = reduce(operator.xor, (pl.col(name).hash(seed + n) for n, name in enumerate(names)))
    return rows.select(mixed).to_series().to_numpy()
