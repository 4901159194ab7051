"""What an epoch leaves for the next, as bytes: the state of a continuous job."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.errors import LogError
from trueup.log.lake import Buckets
from trueup.reconcile.epoch import Memory
from trueup.reconcile.gone import HASHING, Gone
from trueup.reconcile.records import EVENTS
from trueup.reconcile.rules import KERNEL_VERSION

SCHEMA_VERSION = 1
_HEAD_BYTES = 4


@dataclass(frozen=True)
class Packed:
    """A memory as bytes: `head` with all but the runs of hashes, each of which is bytes of its own since it seldom changes."""

    head: bytes
    runs: tuple[bytes, ...]


def packed(memory: Memory, buckets: Buckets) -> Packed:
    """A memory of a range of buckets as bytes."""
    told = {
        "schema": SCHEMA_VERSION, "kernel": KERNEL_VERSION, "hashing": HASHING, "buckets": [buckets.first, buckets.last],
        "position": memory.position, "passed_us": memory.passed_us, "latest_us": memory.latest_us,
        "runs": [len(run) for run in memory.gone.runs],
    }  # fmt: skip
    text = json.dumps(told).encode()
    return Packed(
        len(text).to_bytes(_HEAD_BYTES, "little") + text + as_bytes(memory.rows),
        tuple(run.astype("<u8").tobytes() for run in memory.gone.runs),
    )


def unpacked(head: bytes, runs: Mapping[int, bytes], buckets: Buckets) -> Memory | None:
    """The memory that `packed` made bytes of; None for one that has to be made of the log again.

    That is one of an older schema or kernel, of hashes of another make or of other buckets. Raises `LogError` for one of a
    newer version, which this one must not go on from.
    """
    length = int.from_bytes(head[:_HEAD_BYTES], "little")
    told = json.loads(head[_HEAD_BYTES : _HEAD_BYTES + length])
    if told["schema"] > SCHEMA_VERSION or told["kernel"] > KERNEL_VERSION:
        raise LogError(
            f"the job's state was written by a later version (schema {told['schema']}, kernel {told['kernel']}; this one has "
            f"{SCHEMA_VERSION} and {KERNEL_VERSION})", where="the state of the stream",
            todo="run the later version, or `trueup stream --fresh`, which makes the state of the log again",
        )  # fmt: skip
    mine = (SCHEMA_VERSION, KERNEL_VERSION, HASHING, [buckets.first, buckets.last])
    if (told["schema"], told["kernel"], told["hashing"], told["buckets"]) != mine:
        return None
    gone = Gone(tuple(np.frombuffer(runs[n], dtype="<u8").astype(np.uint64) for n in range(len(told["runs"]))))
    assert [len(run) for run in gone.runs] == told["runs"], "a state whose runs are not those it names"
    rows = from_bytes(head[_HEAD_BYTES + length :])
    return Memory(told["position"], rows, gone, told["passed_us"], told["latest_us"])


def as_bytes(events: pl.DataFrame) -> bytes:
    """Rows of `EVENTS` as an Arrow IPC stream."""
    buffer = io.BytesIO()
    events.select(*EVENTS).write_ipc_stream(buffer, compression="lz4")
    return buffer.getvalue()


def from_bytes(data: bytes) -> pl.DataFrame:
    """The rows that `as_bytes` made bytes of."""
    return pl.read_ipc_stream(io.BytesIO(data)).select(pl.col(n).cast(t) for n, t in EVENTS.items())
