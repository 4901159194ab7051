"""Settled keys: hashes of the keys of records that the state no longer holds, by which a later record of the same key is noticed.

A key takes eight bytes instead of a row; many keys are kept on disk. A hash collision only causes a needless read of the log.

>>> keys = SettledKeyIndex().add(np.array([3, 1, 4], dtype=np.uint64)).add(np.array([1, 5], dtype=np.uint64))
>>> keys.contains(np.array([5, 2, 1], dtype=np.uint64)).tolist()
[True, False, True]

Adding merges runs until each is more than twice as long as the next, so that little is rewritten:

>>> [len(run) for run in keys.runs], [len(run) for run in keys.add(np.array([9], dtype=np.uint64)).runs]
([4], [4, 1])
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trueup.reconcile.domain.record_hashes import Hashes
from trueup.reconcile.incremental.hash_runs import HashRun, HashRunStore


@dataclass(frozen=True)
class SettledKeyIndex:
    """A growing set of hashes, in sorted runs each more than twice as long as the next.

    With a store, fewer than its `min_hashes` hashes are in memory (`runs`). All others are in `files`, as runs of the same kind.
    """

    runs: tuple[Hashes, ...] = ()
    files: tuple[HashRun, ...] = ()
    store: HashRunStore | None = None

    def __len__(self) -> int:
        return sum(map(len, self.runs)) + sum(map(len, self.files))

    def contains(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Return which of the hashes are in the set."""
        # Lookups in ascending order are much faster, because adjacent hashes share a cache line.
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
