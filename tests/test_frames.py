"""Frames as bytes: a frame survives the round trip, and carries no text but its own."""

from __future__ import annotations

import polars as pl

from trueup.frames import compact_strings, from_ipc, to_ipc


def test_rows_taken_from_a_larger_frame_carry_only_their_own_text() -> None:
    whole = pl.DataFrame({"text": [f"a long enough text, number {n}" for n in range(20_000)], "n": range(20_000)})
    few = whole.filter(pl.col("n") % 5_000 == 0)
    data = to_ipc(few, whole.clear())
    assert len(data) < 5_000 < len(to_ipc(whole))
    back, empty = from_ipc(data)
    assert back.equals(few) and back.schema == whole.schema and empty.equals(whole.clear())


def text_bytes(frame: pl.DataFrame) -> int:
    """Return the bytes of text that a frame holds in memory, its own or not."""
    table = frame.select("text").to_arrow(compat_level=pl.CompatLevel.newest())
    return sum(b.size for column in table.columns for chunk in column.chunks for b in chunk.buffers()[2:] if b is not None)


def test_retained_rows_hold_no_text_but_their_own() -> None:
    whole = pl.DataFrame({"text": [f"a long enough text, number {n}" for n in range(20_000)], "n": range(20_000)})
    few = whole.filter(pl.col("n") % 20 == 0)
    assert text_bytes(compact_strings(few)) < 50_000 < text_bytes(few)
    assert compact_strings(few).equals(few)
