"""Encode outcomes as bytes, in which form the workers of every engine exchange them."""

from __future__ import annotations

import polars as pl

from trueup.frames import from_ipc, to_ipc
from trueup.reconcile.results.outcome import Outcome

_COUNT_BYTES = 8


def encode(outcome: Outcome) -> bytes:
    """Encode an outcome as bytes."""
    frames = (outcome.history, outcome.ledger, outcome.placement)
    decimals = (frame.with_columns(pl.col(pl.Int128).cast(pl.Decimal(38, 0))) for frame in frames)
    return outcome.records.to_bytes(_COUNT_BYTES, "little") + to_ipc(*decimals, compression="zstd")


def decode(data: bytes) -> Outcome:
    """Decode the outcome that `encode` encoded."""
    history, ledger, placement = from_ipc(data[_COUNT_BYTES:])
    money = pl.col("^.*_micros$").cast(pl.Int128)
    records = int.from_bytes(data[:_COUNT_BYTES], "little")
    return Outcome(history, ledger.with_columns(money), placement.with_columns(money), records)
