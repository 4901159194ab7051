"""Hashes of the names of records and sessions: eight bytes in place of a key."""

from __future__ import annotations

import operator
from functools import reduce

import numpy as np
import polars as pl
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
NO_HASHES: Hashes = np.empty(0, dtype=np.uint64)
HASHING = f"polars {pl.__version__}"
"""The library that computes the hashes; another version of Polars may hash the same keys differently."""
_SESSION, _RECORD = ("scope", "session_key"), ("charge", "key_scope", "scope", "record_key")
NAMES = ("session_key", *_RECORD, "corrected_key")
"""The columns that identify a record and its session."""


def session_hashes(rows: pl.DataFrame) -> Hashes:
    """Return a hash of each row's session key; the hash of a row without one has no meaning."""
    return _hash_columns(rows, _SESSION, seed=11)


def record_hashes(rows: pl.DataFrame) -> Hashes:
    """Return a hash of each row's record: its stream, scopes and key."""
    return _hash_columns(rows, _RECORD, seed=23)


def name_hashes(rows: pl.DataFrame) -> Hashes:
    """Return a hash of each row's record key within its scope, by which the record is found that a charge corrects."""
    return _hash_columns(rows, ("scope", "record_key"), seed=37)


def corrected_hashes(rows: pl.DataFrame) -> Hashes:
    """Return the `name_hashes` of the records that correcting charges among the rows name."""
    correcting = rows.filter(pl.col("corrected_key").is_not_null()).select("scope", record_key="corrected_key")
    return name_hashes(correcting)


def is_duplicated(hashes: Hashes) -> NDArray[np.bool_]:
    """Return which of the hashes occur more than once."""
    ascending = np.sort(hashes)
    twice = ascending[1:][ascending[1:] == ascending[:-1]]
    return np.isin(hashes, twice) if len(twice) else np.zeros(len(hashes), dtype=np.bool_)


def _hash_columns(rows: pl.DataFrame, names: tuple[str, ...], *, seed: int) -> Hashes:
    combined = reduce(operator.xor, (pl.col(name).hash(seed + n) for n, name in enumerate(names)))
    return rows.select(combined).to_series().to_numpy()
