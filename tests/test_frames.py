"""Frames as bytes survive the round trip and carry no text but their own; frames of a query have the same rows in each form."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import polars as pl
import pytest

from trueup.frames import compact_strings, from_ipc, query_frames, query_streams, to_ipc


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


def test_retained_rows_hold_only_their_own_text() -> None:
    whole = pl.DataFrame({"text": [f"a long enough text, number {n}" for n in range(20_000)], "n": range(20_000)})
    few = whole.filter(pl.col("n") % 20 == 0)
    assert text_bytes(compact_strings(few)) < 50_000 < text_bytes(few)
    assert compact_strings(few).equals(few)


NO_PANDAS = """
import sys
from trueup.log.catalog.connection import spare_pandas
spare_pandas()
import duckdb, polars as pl
from trueup.frames import query_streams
with duckdb.connect() as connection:
    assert query_streams(connection, "SELECT a || 'b' AS b FROM rows", rows=pl.DataFrame({"a": ["x"]})).rows() == [("xb",)]
assert not {"pandas", "pyarrow.dataset"} & set(sys.modules)
"""


def test_a_frame_that_a_query_reads_once_needs_no_pandas() -> None:
    subprocess.run([sys.executable, "-c", NO_PANDAS], check=True, capture_output=True)


def test_a_stream_has_the_rows_of_its_frame_for_any_types_and_chunks() -> None:
    half = pl.DataFrame({
        "text": ["a" * 20, None], "bytes": [b"1", b""], "money": [Decimal("-1.5"), None], "day": [date(2024, 5, 1), None],
        "time": [datetime(2024, 5, 1, tzinfo=UTC), None], "ids": [[b"1", b"2"], []],
    }, schema_overrides={"money": pl.Decimal(38, 0), "time": pl.Datetime("us", "UTC")})  # fmt: skip
    frame = pl.concat([half, half], rechunk=False)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = "SELECT * FROM rows"
        assert query_streams(connection, query, rows=frame).equals(query_frames(connection, query, rows=frame))
        with pytest.raises(duckdb.InvalidInputException, match="already been consumed"):
            query_streams(connection, "SELECT * FROM rows a, rows b", rows=frame)
        assert query_streams(connection, query, rows=half).height == 2
