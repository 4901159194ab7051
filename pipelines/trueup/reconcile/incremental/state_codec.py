"""Encode the state that an epoch of the continuous job leaves for the next one as bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.errors import LogError
from trueup.frames import from_ipc, to_ipc
from trueup.log.lake import BucketRange
from trueup.policies.policy import KERNEL_VERSION
from trueup.reconcile.domain.record_hashes import HASHING, NO_HASHES, Hashes
from trueup.reconcile.incremental.epoch import ReconcilerState
from trueup.reconcile.incremental.folded_sums import FoldedSums
from trueup.reconcile.incremental.hash_runs import HashRunStore
from trueup.reconcile.incremental.pending_records import PendingRecords
from trueup.reconcile.incremental.segments import Segment
from trueup.reconcile.incremental.settled_keys import SettledKeyIndex

SCHEMA_VERSION = 8
_LENGTH_BYTES = 4
"""The length of the description. The length comes first in all versions, so that each can recognise the writer of a state."""


@dataclass(frozen=True)
class EncodedState:
    """A state as bytes.

    `head` has all small values and the names of hash runs in files. `runs` are the hash runs in memory, and `segments` the segments
    of rows; each of them is encoded separately, because it seldom changes.
    """

    head: bytes
    runs: tuple[bytes, ...]
    segments: tuple[bytes, ...]


def encode_state(state: ReconcilerState, buckets: BucketRange, before: ReconcilerState | None = None) -> EncodedState:
    """Encode the state of a range of buckets; parts that the earlier state `before` has already become empty bytes."""
    all_segments = state.segments
    tombstones = [segment.tombstones for segment in all_segments]
    description = {
        "schema": SCHEMA_VERSION, "kernel": KERNEL_VERSION, "hashing": HASHING, "buckets": [buckets.first, buckets.last],
        "position": state.position, "passed_us": state.passed_us, "latest_us": state.latest_us,
        "has_corrections": state.has_corrections,
        "runs": [len(run) for run in state.settled_keys.runs], "files": [file.name for file in state.settled_keys.files],
        "tombstones": [len(labels) for labels in tombstones], "pending": len(state.pending.segments),
    }  # fmt: skip
    text = json.dumps(description).encode()
    runs = _mark_changed_parts(state.settled_keys.runs, before.settled_keys.runs if before is not None else ())
    known_segments = before.segments if before is not None else ()
    segments = _mark_changed_parts([s.rows for s in all_segments], [s.rows for s in known_segments])
    return EncodedState(
        len(text).to_bytes(_LENGTH_BYTES, "little") + text + np.concatenate([NO_HASHES, *tombstones]).astype("<u8").tobytes(),
        tuple(run.astype("<u8").tobytes() if new else b"" for run, new in zip(state.settled_keys.runs, runs, strict=True)),
        tuple(to_ipc(s.rows, s.keys, s.deadlines) if new else b"" for s, new in zip(all_segments, segments, strict=True)),
    )


def _mark_changed_parts(parts: Sequence[object], before: Sequence[object]) -> list[bool]:
    """Return which parts differ from the object at the same index before."""
    return [number >= len(before) or before[number] is not part for number, part in enumerate(parts)]


def decode_state(
    head: bytes, runs: Mapping[int, bytes], segments: Mapping[int, bytes], buckets: BucketRange, store: HashRunStore | None = None
) -> ReconcilerState | None:
    """Decode the state that `encode_state` encoded; return None for a state that must be rebuilt from the log.

    A state must be rebuilt if it has an older schema or kernel, or hashes by another version. The same holds for a state of other
    buckets, or with files that are not in the store. Raises `LogError` for a state of a newer version, which this version must not
    resume from.
    """
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    text, tail = head[_LENGTH_BYTES : _LENGTH_BYTES + length], head[_LENGTH_BYTES + length :]
    description = json.loads(text)
    if description["schema"] > SCHEMA_VERSION or description["kernel"] > KERNEL_VERSION:
        raise LogError(
            f"the job's state was written by a later version (schema {description['schema']}, kernel {description['kernel']}; "
            f"this one has {SCHEMA_VERSION} and {KERNEL_VERSION})", where="the state of the stream",
            todo="run the later version, or `trueup stream --fresh`, which rebuilds the state from the log",
        )  # fmt: skip
    expected = (SCHEMA_VERSION, KERNEL_VERSION, HASHING, [buckets.first, buckets.last])
    if (description["schema"], description["kernel"], description["hashing"], description["buckets"]) != expected:
        return None
    opened = [store.open(name) if store is not None else None for name in description["files"]]
    files = tuple(file for file in opened if file is not None)
    if len(files) < len(opened):
        return None
    settled_keys = SettledKeyIndex(tuple(_decode_hashes(runs[n]) for n in range(len(description["runs"]))), files, store)
    assert [len(run) for run in settled_keys.runs] == description["runs"], "the hash runs of a state have other lengths"
    tombstones = np.split(_decode_hashes(tail), np.cumsum(description["tombstones"])[:-1]) if description["tombstones"] else []
    rows, count = list(enumerate(tombstones)), description["pending"]
    pending = PendingRecords(tuple(_decode_segment(segments[n], labels, PendingRecords.schema) for n, labels in rows[:count]))
    folded = FoldedSums(tuple(_decode_segment(segments[n], labels, FoldedSums.schema) for n, labels in rows[count:]))
    return ReconcilerState(
        description["position"], pending, settled_keys, description["passed_us"], description["latest_us"],
        description["has_corrections"], folded,
    )  # fmt: skip


def _decode_segment(data: bytes, tombstones: Hashes, schema: dict[str, pl.DataType]) -> Segment:
    rows, keys, deadlines = from_ipc(data)
    return Segment.of(rows.select(pl.col(n).cast(t) for n, t in schema.items()), keys, deadlines, tombstones)


def _decode_hashes(data: bytes) -> Hashes:
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)
