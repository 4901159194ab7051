"""Frames as bytes: what was made bytes of comes back, with no more text than its own."""

from __future__ import annotations

import polars as pl

from trueup.frames import bytes_of, frames_of


def test_rows_taken_from_a_larger_frame_carry_only_their_own_text() -> None:
    whole = pl.DataFrame({"text": [f"a long enough text, number {n}" for n in range(20_000)], "n": range(20_000)})
    few = whole.filter(pl.col("n") % 5_000 == 0)
    data = bytes_of(few, whole.clear())
    assert len(data) < 5_000 < len(bytes_of(whole))
    back, empty = frames_of(data)
    assert back.equals(few) and back.schema == whole.schema and empty.equals(whole.clear())
