from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trueup.collect.decode.parquet import pages as parquet_pages
from trueup.collect.decode.parquet.parquet_file import ParquetFile, read_parquet
from trueup.errors import SourceError


def written(path: Path, table: pa.Table, rows_in_group: int = 2) -> ParquetFile:
    pq.write_table(table, path, row_group_size=rows_in_group)
    return ParquetFile(path.open("rb"), "x.parquet")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_numbers_become_exact_text_and_times_keep_their_type(tmp_path: Path) -> None:
    table = pa.table(
        {
            "dec": pa.array([Decimal("0.1000000000000000005"), None], pa.decimal128(38, 19)),
            "wide": pa.array([Decimal("1.5"), Decimal("-2.0")], pa.decimal256(60, 1)),
            "whole": pa.array([2**63 - 1, 2**64 - 1], pa.uint64()),
            "float": pa.array([0.1, 1e-7]),
            "single": pa.array([0.1, 2.5], pa.float32()),
            "at": pa.array([datetime(2024, 5, 1), None], pa.timestamp("ns")),
            "zoned": pa.array([datetime(2024, 5, 1, tzinfo=UTC), None], pa.timestamp("ms", "UTC")),
            "on": pa.array([date(2024, 5, 1), None]),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "yes": pa.array([True, False]),
        }
    )
    (rows,) = written(tmp_path / "x.parquet", table).rows()
    fields = read_parquet(rows, table.column_names, attributes=False).fields
    assert fields["dec"].to_list() == ["0.1000000000000000005", None]
    assert fields["wide"].to_list() == ["1.5", "-2.0"]
    assert fields["whole"].to_list() == ["9223372036854775807", "18446744073709551615"]
    assert [float(text) for text in fields["float"]] == [0.1, 1e-7]
    assert fields["single"].to_list() == ["0.1", "2.5"]
    assert (fields["kind"].to_list(), fields["yes"].to_list()) == (["x", "y"], ["true", "false"])
    assert [type(fields[name].dtype) for name in ("at", "zoned", "on")] == [pl.Datetime, pl.Datetime, pl.Date]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_row_is_identified_by_its_group_and_number(tmp_path: Path) -> None:
    file = written(tmp_path / "x.parquet", pa.table({"a": ["p", "q", "r"], "b": [1, None, 3]}))
    batches = [read_parquet(rows, ["a"], attributes=True) for rows in file.rows()]
    assert [batch.provenance.rows() for batch in batches] == [[(0, 0, None), (1, 0, None)], [(2, 1, None)]]
    assert batches[0].attributes.to_list() == ['{"b":"1"}', None]
    assert read_parquet(file.row(1, 2), ["a"], attributes=False).raw([0]) == [b'{"a":"r","b":"3"}']
    with pytest.raises(SourceError, match="no row 9"):
        file.row(1, 9)
    assert (file.records, file.groups, file.columns()) == (3, 2, ("a", "b"))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("grown_bytes", "as_dictionary"), [(1 << 20, ["few", "grown"]), (1_000, ["few"])])
def test_only_texts_whose_dictionary_stays_small_are_read_as_dictionaries(
    grown_bytes: int, as_dictionary: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_pages, "_GROWN_BYTES", grown_bytes)
    table = pa.table({
        "few": ["a", "b"] * 1_000, "grown": [f"{n:020}" for n in range(2_000)], "plain": [f"{n}" for n in range(2_000)],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "x.parquet", use_dictionary=["few", "grown"], dictionary_pagesize_limit=3_000)
    read = list[list[str]]()
    opened = ParquetFile._open_reader

    def recorded(self: ParquetFile, columns: Sequence[str]) -> pq.ParquetFile:
        read.append(list(columns))
        return opened(self, columns)

    monkeypatch.setattr(ParquetFile, "_open_reader", recorded)
    with (tmp_path / "x.parquet").open("rb") as handle:
        frames = [rows.frame for rows in ParquetFile(handle, "x.parquet").rows()]
    assert read[-1] == as_dictionary
    assert pl.concat(frames).equals(pl.DataFrame(pl.from_arrow(table)))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_bytes_that_are_not_text_are_rejected(tmp_path: Path) -> None:
    (rows,) = written(tmp_path / "x.parquet", pa.table({"a": pa.array([b"ok", b"\xff"], pa.binary())})).rows()
    batch = read_parquet(rows, ["a"], attributes=False)
    assert batch.fields["a"].to_list() == ["ok"]
    assert batch.rejected.select("source_row", "reason").rows() == [(1, "bad_encoding")]


def test_a_truncated_or_other_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    for content in (path.read_bytes()[:-20], b"id,at\n1,2\n"):
        path.write_bytes(content)
        with path.open("rb") as handle, pytest.raises(SourceError, match="not Parquet"):
            ParquetFile(handle, "x.parquet")
