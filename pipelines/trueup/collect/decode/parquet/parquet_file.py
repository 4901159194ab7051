"""Parquet: reads rows by row group; numbers become exact text, times keep the file's own type."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from trueup.collect.decode.decoded import PROVENANCE, Batch, concat_rejected, json_objects
from trueup.collect.decode.parquet.pages import check_footer, reading_of
from trueup.collect.decode.text.lines import Mask, Offsets
from trueup.collect.discover.unpack import LEAST_BYTES
from trueup.config import LimitsConfig
from trueup.errors import SourceError

_REASON_CHARACTERS = 300
_USUAL = LimitsConfig()
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_PIECE_BYTES = 8 << 20
_PIECE_ROWS = 1 << 16
_ROW_BYTES = 16
"""Bytes counted per row in addition to its values: a file may declare any number of empty rows."""


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of one row group; `first_row` is the number of the first one in the unit."""

    frame: pl.DataFrame
    group: int
    first_row: int
    held_bytes: Offsets

    def __len__(self) -> int:
        return self.frame.height

    def only(self, selection: slice) -> Rows:
        """Return the selected rows."""
        first, last, _ = selection.indices(len(self))
        frame = self.frame.slice(first, max(0, last - first))
        return Rows(frame, self.group, self.first_row + first, self.held_bytes[first:last])


class ParquetFile:
    """An open Parquet unit; raises `SourceError` when it is not Parquet, is damaged or exceeds a limit."""

    def __init__(self, handle: BinaryIO, where: str, limits: LimitsConfig = _USUAL) -> None:
        self._handle, self._where, self._limits = handle, where, limits
        check_footer(handle, limits, where)
        handle.seek(0)
        try:
            self._metadata = pq.read_metadata(handle)
            self._columns = tuple(self._metadata.schema.to_arrow_schema().names)
        except (pa.ArrowException, OSError) as error:
            raise self._damage_error(error) from None
        self._firsts = self._number_first_rows(self._metadata)

    def _number_first_rows(self, metadata: Any) -> list[int]:
        """Return the number of the first row of each row group, then the number of rows."""
        counts = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        if any(count < 0 for count in counts) or sum(counts) != metadata.num_rows:
            raise SourceError(
                f"the footer declares {metadata.num_rows} rows, but {sum(counts)} in its row groups", where=self._where,
                todo="have it delivered again",
            )  # fmt: skip
        self._check_size(metadata.num_rows * _ROW_BYTES)
        return [0, *accumulate(counts)]

    @property
    def records(self) -> int:
        """Number of rows that the footer declares."""
        return self._firsts[-1]

    @property
    def groups(self) -> int:
        """Number of row groups."""
        return len(self._firsts) - 1

    def columns(self) -> tuple[str, ...]:
        """Return the columns in order."""
        return self._columns

    def rows(self) -> Iterator[Rows]:
        """Yield all rows in order."""
        size = 0
        for group in range(self.groups):
            for rows in self.group(group):
                size += int(rows.held_bytes.sum())
                self._check_size(size)
                yield rows

    def group(self, number: int) -> Iterator[Rows]:
        """Yield the rows of one row group in order, in pieces of bounded size."""
        row, end = self._firsts[number], self._firsts[number + 1]
        try:
            reading = reading_of(
                self._handle, self._metadata.row_group(number), self._metadata.schema, self._limits, self._where,
                lambda name: self._measure_longest_value(number, name),
            )  # fmt: skip
            batches = self._open_reader(reading.as_dictionary).iter_batches(batch_size=reading.rows, row_groups=[number])
            for table in _batch_to_tables(batches):
                for piece, sizes in _split_table(table):
                    frame = pl.DataFrame(pl.from_arrow(_decode_dictionaries(piece)))
                    yield Rows(frame, number, row, sizes)
                    row += frame.height
        except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
            raise self._damage_error(error) from None
        if row != end:
            actual = row - self._firsts[number]
            raise self._damage_error(ValueError(f"row group {number} declares {end - row + actual} rows and has {actual}"))

    def row(self, group: int, number: int) -> Rows:
        """Return one row of the file by row group and number; raise `SourceError` where the file lacks it."""
        for rows in self.group(group) if group < self.groups else ():
            if rows.first_row <= number < rows.first_row + len(rows):
                return rows.only(slice(number - rows.first_row, number - rows.first_row + 1))
        raise SourceError(f"the file has no row {number} in row group {group}", where=self._where)

    def _open_reader(self, as_dictionary: Sequence[str]) -> pq.ParquetFile:
        # A column chunk may be as large as the file, so it is read page by page.
        return pq.ParquetFile(
            self._handle, metadata=self._metadata, read_dictionary=list(as_dictionary), buffer_size=1 << 20, pre_buffer=False
        )

    def _measure_longest_value(self, group: int, name: str) -> int:
        """Return the bytes of the longest value in a column's dictionary; reading the column's first row loads the dictionary."""
        import pyarrow.compute as pc  # This module is slow to import, and most projects have no Parquet files.

        batches = self._open_reader([name]).iter_batches(batch_size=1, row_groups=[group], columns=[name])
        lengths = [pc.max(pc.binary_length(batch.column(0).dictionary)).as_py() or 0 for batch in islice(batches, 1)]
        return max(lengths, default=0)

    def _check_size(self, size_bytes: int) -> None:
        most = max(LEAST_BYTES, self._limits.expansion * os.fstat(self._handle.fileno()).st_size)
        if size_bytes > most:
            raise SourceError(
                f"the rows unpack to more than {most} bytes", where=self._where,
                todo="check the file, or raise `expansion` in [limits] or [source.limits]",
            )  # fmt: skip

    def _damage_error(self, error: Exception) -> SourceError:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:_REASON_CHARACTERS]
        return SourceError(f"the file is not Parquet, or is damaged: {reason}", where=self._where, todo="have it delivered again")


def _batch_to_tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Concatenate batches to tables that are large enough to process efficiently, but not much larger than a piece."""
    held, rows, size = list[pa.RecordBatch](), 0, 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _PIECE_ROWS or size >= _PIECE_BYTES:
            yield _concat_batches(held)
            held, rows, size = [], 0, 0
    if held:
        yield _concat_batches(held)


def _concat_batches(batches: list[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()


def _split_table(table: pa.Table) -> Iterator[tuple[pa.Table, Offsets]]:
    """Split a table into pieces of bounded size, with the bytes of each row."""
    sizes = _count_row_bytes(table)
    ends = np.cumsum(sizes)
    at = 0
    while at < table.num_rows:
        base = int(ends[at - 1]) if at else 0
        until = max(at + 1, int(np.searchsorted(ends, base + _PIECE_BYTES, side="right")))
        until = min(until, at + _PIECE_ROWS, table.num_rows)
        yield table.slice(at, until - at), sizes[at:until]
        at = until


def _count_row_bytes(table: pa.Table) -> Offsets:
    """Return the bytes of each row's values after dictionaries are decoded, so that each row has a copy."""
    sizes = np.full(table.num_rows, _ROW_BYTES, np.int64)
    for column in table.columns:
        lengths = [_count_value_bytes(chunk) for chunk in column.chunks]
        sizes += np.concatenate(lengths) if lengths else 0
    return sizes


def _count_value_bytes(array: pa.Array) -> Offsets:
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        lengths = np.append(_count_value_bytes(array.dictionary), 0)
        numbers = pc.fill_null(array.indices.cast(pa.int64()), len(lengths) - 1).to_numpy(zero_copy_only=False)
        return np.asarray(lengths[numbers])
    if pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type):
        array = array.cast(pa.large_binary())
    if any(is_of_type(array.type) for is_of_type in _TEXTS):
        lengths = pc.fill_null(pc.binary_length(array).cast(pa.int64()), 0)
        return np.asarray(lengths.to_numpy(zero_copy_only=False))
    return np.full(len(array), -(-array.nbytes // max(1, len(array))), np.int64)


def _decode_dictionaries(table: pa.Table) -> pa.Table:
    """Return the table with dictionaries decoded, and 256-bit decimals, which Polars lacks, as text."""
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_dictionary(field.type):
            # The dictionary may be larger than the rows: only the values in use are copied.
            decoded = [chunk.dictionary.take(chunk.indices) for chunk in column.chunks]
            table = table.set_column(index, field.name, pa.chunked_array(decoded, field.type.value_type))
        if pa.types.is_decimal256(table.schema.field(index).type):
            texts = [None if value is None else str(value) for value in column.to_pylist()]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


def within_limit(rows: Rows, limits: LimitsConfig) -> tuple[Rows, list[int], list[pl.DataFrame]]:
    """Return the rows within the length limit, their numbers in the unit, and the longer rows as rows of `REJECTED`."""
    numbers = list(range(rows.first_row, rows.first_row + len(rows)))
    too_long = rows.held_bytes > limits.record_bytes
    if not too_long.any():
        return rows, numbers, []
    at = np.flatnonzero(too_long).tolist()
    rejected = _build_provenance([numbers[i] for i in at], rows.group).with_columns(
        raw=pl.Series([raw[: limits.kept_bytes] for raw in raw_rows(rows, at)], dtype=pl.Binary), reason=pl.lit("over_limit"),
        rule=pl.lit(f"row: has at most {limits.record_bytes} bytes (record_bytes in [limits])"),
    )  # fmt: skip
    good = np.flatnonzero(~too_long).tolist()
    return replace(rows, frame=rows.frame[good], held_bytes=rows.held_bytes[~too_long]), [numbers[i] for i in good], [rejected]


def _build_provenance(numbers: Sequence[int], group: int) -> pl.DataFrame:
    return pl.select(source_row=pl.Series(numbers, dtype=pl.Int64), source_offset=group, source_length=None).select(
        pl.col(name).cast(dtype) for name, dtype in PROVENANCE.items()
    )


def read_parquet(
    rows: Rows, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = (), limits: LimitsConfig = _USUAL
) -> Batch:
    """Decode rows: the mapped columns as text (times keep their type), the other columns as attributes if requested.

    `source_offset` is the row group. A row that is too long, or has bytes that are not UTF-8, is rejected.
    """
    rows, numbers, too_long = within_limit(rows, limits)
    names = rows.frame.columns if attributes else list(mapped)
    texts = rows.frame.select(_convert_to_text(rows.frame[name], keep_time=name in mapped) for name in names)
    provenance = _build_provenance(numbers, rows.group)
    others = [name for name in names if name not in mapped or name in kept] if attributes else []
    other_columns = json_objects(texts.select(_convert_to_text(texts[name], keep_time=False) for name in others), height=len(rows))
    bad = _mark_undecodable(rows.frame.select(names), texts)

    def raw(selection: Sequence[int]) -> list[bytes]:
        return raw_rows(rows, selection)

    if not bad.any():
        return Batch(
            texts.select(mapped),
            other_columns,
            provenance,
            raw,
            concat_rejected(too_long),
            _mark_numeric_columns(rows.frame, mapped),
        )
    at, good = bad.arg_true().to_list(), (~bad).arg_true().to_list()
    rejected = provenance[at].with_columns(
        raw=pl.Series(raw(at), dtype=pl.Binary), reason=pl.lit("bad_encoding"), rule=pl.lit("row: is utf-8")
    )
    return Batch(
        texts.select(mapped)[good], other_columns.gather(good), provenance[good], lambda selected: raw([good[i] for i in selected]),
        concat_rejected([*too_long, rejected]), _mark_numeric_columns(rows.frame[good], mapped),
    )  # fmt: skip


def _mark_numeric_columns(frame: pl.DataFrame, mapped: Sequence[str]) -> dict[str, Mask]:
    return {name: np.ones(frame.height, np.bool_) for name in mapped if frame[name].dtype.is_numeric()}


def raw_rows(rows: Rows, selection: Sequence[int]) -> list[bytes]:
    """Return rows as JSON objects of their values as text: a Parquet record has no bytes of its own."""
    selected = rows.frame[list(selection)]
    texts = selected.select(_convert_to_text(series, keep_time=False) for series in selected)
    return [(text or "{}").encode() for text in json_objects(texts, height=selected.height)]


def _convert_to_text(series: pl.Series, *, keep_time: bool) -> pl.Series:
    if series.dtype == pl.String or (keep_time and series.dtype in (pl.Date, pl.Datetime)):
        return series
    if isinstance(series.dtype, pl.Struct):
        return series.struct.json_encode()
    if isinstance(series.dtype, pl.List | pl.Array):
        text = pl.struct("v").struct.json_encode().str.slice(5).str.strip_suffix("}")
        # A missing list is NULL, like a missing value in every other column.
        present = pl.when(pl.col("v").is_not_null()).then(text)
        return pl.DataFrame({"v": series}).select(present).to_series().alias(series.name)
    if series.dtype == pl.Binary:
        return pl.Series(series.name, [_decode_value(value) for value in series], dtype=pl.String)
    return series.cast(pl.String, strict=False)


def _decode_value(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _mark_undecodable(frame: pl.DataFrame, texts: pl.DataFrame) -> pl.Series:
    """Return which rows have texts that are not valid UTF-8."""
    bad = pl.repeat(False, frame.height, eager=True)
    for series in frame.select(pl.col(pl.Binary)):
        bad |= texts[series.name].is_null() & series.is_not_null()
    return bad
