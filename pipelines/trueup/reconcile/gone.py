"""Keys of records that are kept no longer, as hashes: enough to notice that something of theirs has come again.

Eight bytes for a key instead of a row. Two keys of one hash cost a reading of the log that was not needed, and nothing else.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import polars as pl
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
NO_HASHES: Hashes = np.empty(0, dtype=np.uint64)
HASHING = f"polars {pl.__version__}"
"""Who makes the hashes: another version may make others of the same keys."""
_SESSION, _RECORD = ("scope", "session_key"), ("charge", "key_scope", "scope", "record_key")
NAMES = ("session_key", *_RECORD)
"""The columns that name a record and its session."""


@dataclass(frozen=True)
class Gone:
    """A growing set of hashes, as sorted runs each more than twice as long as the next: adding rewrites little of it."""

    runs: tuple[Hashes, ...] = ()

    def __len__(self) -> int:
        return sum(len(run) for run in self.runs)

    def holds(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which of some hashes are in the set."""
        # Looked for in their order they are found many times as fast: neighbours lie in one line of the cache.
        order = np.argsort(hashes)
        asked = hashes[order]
        found = np.zeros(len(hashes), dtype=np.bool_)
        for run in self.runs:
            at = np.searchsorted(run, asked)
            found |= run[np.minimum(at, len(run) - 1)] == asked
        held = np.empty_like(found)
        held[order] = found
        return held

    def plus(self, hashes: Hashes) -> Gone:
        """The set with more in it."""
        new = np.unique(hashes)
        if not len(new):
            return self
        runs = list(self.runs)
        while runs and len(runs[-1]) <= 2 * len(new):
            new = np.unique(np.concatenate([runs.pop(), new]))
        return Gone((*runs, new))


def session_hashes(rows: pl.DataFrame) -> Hashes:
    """A hash of each row's session key; of rows without one it means nothing."""
    return _hashed(rows, _SESSION, seed=11)


def record_hashes(rows: pl.DataFrame) -> Hashes:
    """A hash of each row's record: its stream, scopes and key."""
    return _hashed(rows, _RECORD, seed=23)


def repeated(hashes: Hashes) -> NDArray[np.bool_]:
    """Which of some hashes are there more than once."""
    ascending = np.sort(hashes)
    twice = ascending[1:][ascending[1:] == ascending[:-1]]
    return np.isin(hashes, twice) if len(twice) else np.zeros(len(hashes), dtype=np.bool_)


def _hashed(rows: pl.DataFrame, names: tuple[str, ...], *, seed: int) -> Hashes:
    mixed = reduce(operator.xor, (pl.col(name).hash(seed + n) for n, name in enumerate(names)))
    return rows.select(mixed).to_series().to_numpy()
