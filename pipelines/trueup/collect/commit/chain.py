"""Hash chain of control rows: each row of a source holds the hash of the previous row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import polars as pl

from trueup.events.schema import UTC_TIME

CONTROL: dict[str, pl.DataType] = {
    "source_id": pl.String(), "source": pl.String(), "stream": pl.String(), "path": pl.String(), "sha256": pl.String(),
    "bytes": pl.Int64(), "part_no": pl.Int64(), "last_part": pl.Boolean(), "declared_records": pl.Int64(), "records": pl.Int64(),
    "accepted": pl.Int64(), "duplicate": pl.Int64(), "filtered": pl.Int64(), "quarantined": pl.Int64(), "lost_digits": pl.Int64(),
    "first_time": UTC_TIME, "last_time": UTC_TIME, "last_started_at": UTC_TIME, "taken_at": UTC_TIME, "mapping": pl.String(),
    "recycles": pl.String(), "sums": pl.String(), "moved": pl.Int64(), "sequence_no": pl.Int64(), "previous_hash": pl.String(),
    "hash": pl.String(),
}  # fmt: skip
"""The columns of a control row; as Python values, times are whole microseconds."""

LATER = ("mapping", "filtered", "recycles", "sums", "moved")
"""Columns that earlier versions lack. Rows of delivered files also lack `recycles`; rows without `sums` or `moved` lack those."""


def hash_of(row: Mapping[str, object]) -> str:
    """Return the hash of a control row.

    It is SHA-256 over the previous hash and the row's other columns as canonical JSON.

    Rows of earlier versions may lack the mapping or the count of filtered records. Their hash covers only the columns that they
    have.
    """
    excluded = {"hash", "previous_hash", *(name for name in LATER if row.get(name) is None)}
    content = {name: row.get(name) for name in CONTROL if name not in excluded}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(f"{row['previous_hash']}{text}".encode()).hexdigest()


def link_to_chain(row: Mapping[str, object], last: tuple[int, str] | None) -> dict[str, object]:
    """Return a control row linked to its source's chain; `last` is the chain's last sequence number and hash."""
    sequence_no, previous_hash = (0, "") if last is None else (last[0] + 1, last[1])
    linked = {**row, "sequence_no": sequence_no, "previous_hash": previous_hash}
    return {**linked, "hash": hash_of(linked)}


def frame_of(row: Mapping[str, object]) -> pl.DataFrame:
    """Return a control row as a frame of one row."""
    return pl.DataFrame({name: pl.Series([row.get(name)]).cast(dtype) for name, dtype in CONTROL.items()})
