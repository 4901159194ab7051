"""What an epoch leaves for the next, as bytes: the state of a continuous job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.errors import LogError
from trueup.frames import from_ipc, to_ipc
from trueup.log.lake import BucketRange
from trueup.reconcile.domain.policies import KERNEL_VERSION
from trueup.reconcile.incremental.epoch import ReconcilerState
from trueup.reconcile.incremental.hash_runs import Hashes, HashRunStore
from trueup.reconcile.incremental.pending_records import PENDING_SCHEMA, PendingRecords, Segment
from trueup.reconcile.incremental.settled_keys import HASHING, NO_HASHES, SettledKeyIndex

SCHEMA_VERSION = 4
_LENGTH_BYTES = 4
"""Of what a state says of itself: this comes first and stays as it is, so that any version can tell whose it is."""


@dataclass(frozen=True)
class EncodedState:
    """A memory as bytes: `head` with all that is small and the names of files of hashes, then the runs of hashes that are in none
    and the segments of rows, each of which is bytes of its own since it seldom changes."""

    head: bytes
    runs: tuple[bytes, ...]
    segments: tuple[bytes, ...]


def encode_state(memory: ReconcilerState, buckets: BucketRange, before: ReconcilerState | None = None) -> EncodedState:
    """A memory of a range of buckets as bytes; what the memory `before` it held already is left empty."""
    taken = [segment.tombstones for segment in memory.pending.segments]
    told = {
        "schema": SCHEMA_VERSION, "kernel": KERNEL_VERSION, "hashing": HASHING, "buckets": [buckets.first, buckets.last],
        "position": memory.position, "passed_us": memory.passed_us, "latest_us": memory.latest_us,
        "runs": [len(run) for run in memory.settled_keys.runs], "files": [file.name for file in memory.settled_keys.files],
        "tombstones": [len(labels) for labels in taken],
    }  # fmt: skip
    text = json.dumps(told).encode()
    runs = _changed_parts(memory.settled_keys.runs, before.settled_keys.runs if before is not None else ())
    kept = memory.pending.segments
    segments = _changed_parts([s.rows for s in kept], [s.rows for s in before.pending.segments] if before is not None else ())
    return EncodedState(
        len(text).to_bytes(_LENGTH_BYTES, "little") + text + np.concatenate([NO_HASHES, *taken]).astype("<u8").tobytes(),
        tuple(run.astype("<u8").tobytes() if new else b"" for run, new in zip(memory.settled_keys.runs, runs, strict=True)),
        tuple(to_ipc(s.rows, s.keys, s.deadlines) if new else b"" for s, new in zip(kept, segments, strict=True)),
    )


def _changed_parts(parts: Sequence[object], before: Sequence[object]) -> list[bool]:
    """Which parts are not those that were at their places before."""
    return [number >= len(before) or before[number] is not part for number, part in enumerate(parts)]


def decode_state(
    head: bytes, runs: Mapping[int, bytes], segments: Mapping[int, bytes], buckets: BucketRange, shelf: HashRunStore | None = None
) -> ReconcilerState | None:
    """The memory that `packed` made bytes of; None for one that has to be made of the log again.

    That is one of an older schema or kernel, of hashes of another make, of other buckets, or of files that are not in the
    shelf. Raises `LogError` for one of a newer version, which this one must not go on from.
    """
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    text, rest = head[_LENGTH_BYTES : _LENGTH_BYTES + length], head[_LENGTH_BYTES + length :]
    told = json.loads(text)
    if told["schema"] > SCHEMA_VERSION or told["kernel"] > KERNEL_VERSION:
        raise LogError(
            f"the job's state was written by a later version (schema {told['schema']}, kernel {told['kernel']}; this one has "
            f"{SCHEMA_VERSION} and {KERNEL_VERSION})", where="the state of the stream",
            todo="run the later version, or `trueup stream --fresh`, which makes the state of the log again",
        )  # fmt: skip
    mine = (SCHEMA_VERSION, KERNEL_VERSION, HASHING, [buckets.first, buckets.last])
    if (told["schema"], told["kernel"], told["hashing"], told["buckets"]) != mine:
        return None
    shelved = [shelf.open(name) if shelf is not None else None for name in told["files"]]
    there = tuple(file for file in shelved if file is not None)
    if len(there) < len(shelved):
        return None
    gone = SettledKeyIndex(tuple(_numbers(runs[n]) for n in range(len(told["runs"]))), there, shelf)
    assert [len(run) for run in gone.runs] == told["runs"], "a state whose runs are not those it names"
    taken = np.split(_numbers(rest), np.cumsum(told["tombstones"])[:-1]) if told["tombstones"] else []
    kept = PendingRecords(tuple(_segment_of(segments[n], labels) for n, labels in enumerate(taken)))
    return ReconcilerState(told["position"], kept, gone, told["passed_us"], told["latest_us"])


def _segment_of(data: bytes, taken: Hashes) -> Segment:
    rows, ties, instants = from_ipc(data)
    return Segment.of(rows.select(pl.col(n).cast(t) for n, t in PENDING_SCHEMA.items()), ties, instants, taken)


def _numbers(data: bytes) -> Hashes:
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)
