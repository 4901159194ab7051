"""Parquet: rows by row group, their numbers as exact text, their times as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from trueup.collect.batch import PLACE, REJECTED, Batch, json_objects
from trueup.errors import SourceError

_ROWS = 131_072


@dataclass(frozen=True)
class Rows:
    """Some consecutive rows of one row group; the first is the unit's `first_row`-th."""

    frame: pl.DataFrame
    group: int
    first_row: int

    def __len__(self) -> int:
        return self.frame.height

    def only(self, wanted: slice) -> Rows:
        """Some of the rows."""
        first, last, _ = wanted.indices(len(self))
        return Rows(self.frame.slice(first, max(0, last - first)), self.group, self.first_row + first)


class ParquetFile:
    """An open Parquet unit. Raises `SourceError` when it is none, or damaged."""

    def __init__(self, handle: BinaryIO, where: str) -> None:
        self._where = where
        handle.seek(0)
        try:
            self._file = pq.ParquetFile(handle)
        except pa.ArrowException as error:
            raise self._damaged(error) from None

    @property
    def records(self) -> int:
        """How many rows its footer declares."""
        return int(self._file.metadata.num_rows)

    @property
    def groups(self) -> int:
        """How many row groups it has."""
        return int(self._file.num_row_groups)

    def columns(self) -> tuple[str, ...]:
        """Its columns, in order."""
        return tuple(self._file.schema_arrow.names)

    def rows(self) -> Iterator[Rows]:
        """All rows, in order."""
        for group in range(self.groups):
            yield from self.group(group)

    def group(self, number: int) -> Iterator[Rows]:
        """The rows of one row group, in order."""
        row = sum(self._file.metadata.row_group(before).num_rows for before in range(number))
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS, row_groups=[number]):
                frame = pl.DataFrame(pl.from_arrow(_readable(batch)))
                yield Rows(frame, number, row)
                row += frame.height
        except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
            raise self._damaged(error) from None

    def row(self, group: int, number: int) -> Rows:
        """One row of the file, by its row group and its number; raises `SourceError` where there is none."""
        for rows in self.group(group) if group < self.groups else ():
            if rows.first_row <= number < rows.first_row + len(rows):
                return rows.only(slice(number - rows.first_row, number - rows.first_row + 1))
        raise SourceError(f"the file has no row {number} in row group {group}", where=self._where)

    def _damaged(self, error: Exception) -> SourceError:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return SourceError(f"the file is no Parquet, or damaged: {reason}", where=self._where, todo="have it delivered again")


def _readable(batch: pa.RecordBatch) -> pa.Table:
    """The batch with decimals of 256 bits, which Polars lacks, as text."""
    table = pa.Table.from_batches([batch])
    for index, field in enumerate(table.schema):
        if pa.types.is_decimal256(field.type):
            texts = [None if value is None else str(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


def read_parquet(rows: Rows, mapped: Sequence[str], *, attributes: bool) -> Batch:
    """The mapped columns as text (times as they are), the others as attributes if wanted.

    `source_offset` is the row group; a row that holds bytes which are no UTF-8 is taken out.
    """
    names = rows.frame.columns if attributes else list(mapped)
    texts = rows.frame.select(_as_text(rows.frame[name], keep_time=name in mapped) for name in names)
    places = pl.select(
        source_row=pl.int_range(rows.first_row, rows.first_row + len(rows)), source_offset=rows.group, source_length=None
    ).select(pl.col(name).cast(dtype) for name, dtype in PLACE.items())
    rest = json_objects(texts.select(name for name in names if name not in mapped), height=len(rows))
    bad = _undecodable(rows.frame.select(names), texts)

    def raw(wanted: Sequence[int]) -> list[bytes]:
        return raw_rows(rows, wanted)

    if not bad.any():
        return Batch(texts.select(mapped), rest, places, raw, pl.DataFrame(schema=REJECTED))
    at, good = bad.arg_true().to_list(), (~bad).arg_true().to_list()
    rejected = places[at].with_columns(
        raw=pl.Series(raw(at), dtype=pl.Binary), reason=pl.lit("bad_encoding"), rule=pl.lit("row: is utf-8")
    )
    return Batch(texts.select(mapped)[good], rest.gather(good), places[good], lambda some: raw([good[i] for i in some]), rejected)


def raw_rows(rows: Rows, wanted: Sequence[int]) -> list[bytes]:
    """Rows as JSON objects of their values as text: the nearest thing a Parquet record has to bytes of its own."""
    some = rows.frame[list(wanted)]
    texts = some.select(_as_text(series, keep_time=False) for series in some)
    return [(text or "{}").encode() for text in json_objects(texts, height=some.height)]


def _as_text(series: pl.Series, *, keep_time: bool) -> pl.Series:
    if series.dtype == pl.String or (keep_time and series.dtype in (pl.Date, pl.Datetime)):
        return series
    if isinstance(series.dtype, pl.Struct):
        return series.struct.json_encode()
    if isinstance(series.dtype, pl.List | pl.Array):
        name = series.name
        return (
            pl.DataFrame({"v": series})
            .select(pl.struct("v").struct.json_encode().str.slice(5).str.strip_suffix("}"))
            .to_series()
            .alias(name)
        )
    if series.dtype == pl.Binary:
        return pl.Series(series.name, [_decoded(value) for value in series], dtype=pl.String)
    return series.cast(pl.String, strict=False)


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _undecodable(frame: pl.DataFrame, texts: pl.DataFrame) -> pl.Series:
    """Which rows hold bytes that are no text."""
    bad = pl.repeat(False, frame.height, eager=True)
    for series in frame.select(pl.col(pl.Binary)):
        bad |= texts[series.name].is_null() & series.is_not_null()
    return bad
