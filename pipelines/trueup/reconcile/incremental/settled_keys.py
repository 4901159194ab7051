"""Settled keys: hashes of the keys of records that the state no longer holds, to notice a record of the same key.

One key takes eight bytes instead of a row, on disk where there are many. A hash collision costs one needless read of the log,
and nothing else.

>>> keys = SettledKeyIndex().add(np.array([3, 1, 4], dtype=np.uint64)).add(np.array([1, 5], dtype=np.uint64))
>>> keys.contains(np.array([5, 2, 1], dtype=np.uint64)).tolist()
[True, False, True]

Adding merges runs until each is more than twice as long as the next, so that little is rewritten:

>>> [len(run) for run in keys.runs], [len(run) for run in keys.add(np.array([9], dtype=np.uint64)).runs]
([4], [4, 1])
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
"""What makes the hashes: another version of Polars may hash the same keys otherwise."""
_SESSION, _RECORD = ("scope", "session_key"), ("charge", "key_scope", "scope", "record_key")
NAMES = ("session_key", *_RECORD)
"""The columns that identify a record and its session."""


@dataclass(frozen=True)
class SettledKeyIndex:
    """A growing set of hashes, in sorted runs each more than twice as long as the next.

    With a store, fewer than its `min_hashes` are in memory (`runs`). The others are in `files`, of the same lengths.
    """

    runs: tuple[Hashes, ...] = ()
    files: tuple[HashRun, ...] = ()
    store: HashRunStore | None = None

    def __len__(self) -> int:
        return sum(map(len, self.runs)) + sum(map(len, self.files))

    def contains(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Return which of the hashes are in the set."""
        # Lookups in ascending order are many times as fast: neighbours lie in one cache line.
        order = np.argsort(hashes)
        ascending = hashes[order]
        is_present = np.zeros(len(hashes), dtype=np.bool_)
        for run in self.runs:
            is_present |= _is_in_run(run, ascending)
        for file in self.files:
            is_present |= _is_in_run(file.hashes, ascending)
            file.release_pages()
        in_order = np.empty_like(is_present)
        in_order[order] = is_present
        return in_order

    def add(self, hashes: Hashes) -> SettledKeyIndex:
        """Return the set with more hashes."""
        new = np.unique(hashes)
        if not len(new):
            return self
        runs = list(self.runs)
        while runs and len(runs[-1]) <= 2 * len(new):
            new = np.unique(np.concatenate([runs.pop(), new]))
        length = sum(map(len, runs)) + len(new)
        if self.store is None or length < self.store.min_hashes:
            return replace(self, runs=(*runs, new))
        files, replaced = list(self.files), list[HashRun]()
        while files and len(files[-1]) <= 2 * length:
            replaced.append(files.pop())
            length += len(replaced[-1])
        files.append(self.store.write([*runs, new], replaced))
        self.store.prune(files)
        return SettledKeyIndex((), tuple(files), self.store)


def _is_in_run(run: Hashes, hashes: Hashes) -> NDArray[np.bool_]:
    """Return which of the hashes are in a run."""
    index = np.searchsorted(run, hashes)
    is_present: NDArray[np.bool_] = run[np.minimum(index, len(run) - 1)] == hashes
    return is_present


def session_hashes(rows: pl.DataFrame) -> Hashes:
    """Return a hash of each row's session key; without meaning for rows that have none."""
    return _column_hashes(rows, _SESSION, seed=11)


def record_hashes(rows: pl.DataFrame) -> Hashes:
    """Return a hash of each row's record: its stream, scopes and key."""
    return _column_hashes(rows, _RECORD, seed=23)


def is_duplicated(hashes: Hashes) -> NDArray[np.bool_]:
    """Return which of the hashes occur more than once."""
    ascending = np.sort(hashes)
    twice = ascending[1:][ascending[1:] == ascending[:-1]]
    return np.isin(hashes, twice) if len(twice) else np.zeros(len(hashes), dtype=np.bool_)


def _column_hashes(rows: pl.DataFrame, names: tuple[str, ...], *, seed: int) -> Hashes:
    combined = reduce(operator.xor, (pl.col(name).hash(seed + n) for n, name in enumerate(names)))
    return rows.select(combined).to_series().to_numpy()
