"""Outcomes as bytes: what the workers of every engine pass on."""

from __future__ import annotations

import io

import polars as pl

from trueup.reconcile.partition import Outcome


def packed(outcome: Outcome) -> bytes:
    """An outcome as bytes: what runners pass between workers."""
    parts = []
    for frame in (outcome.history, outcome.ledger, outcome.placement):
        buffer = io.BytesIO()
        frame.with_columns(pl.col(pl.Int128).cast(pl.Decimal(38, 0))).write_ipc(buffer, compression="zstd")
        parts.append(buffer.getvalue())
    head = b"".join(len(p).to_bytes(8, "little") for p in parts)
    return outcome.records.to_bytes(8, "little") + head + b"".join(parts)


def unpacked(data: bytes) -> Outcome:
    """The outcome that `packed` made bytes of."""
    numbers = [int.from_bytes(data[i : i + 8], "little") for i in range(0, 32, 8)]
    frames, at = [], 32
    for size in numbers[1:]:
        frames.append(pl.read_ipc(io.BytesIO(data[at : at + size])))
        at += size
    history, ledger, placement = frames
    money = pl.col("^.*_micros$").cast(pl.Int128)
    return Outcome(history, ledger.with_columns(money), placement.with_columns(money), numbers[0])
