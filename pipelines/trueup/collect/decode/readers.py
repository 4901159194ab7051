"""Readers by format: each cuts a unit into pieces of records and decodes a piece."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from trueup.collect.decode.decoded import Batch, Reader, within_limit
from trueup.collect.decode.json.readers import DocumentReader, NdjsonReader, mapped_names
from trueup.collect.decode.parquet.parquet_file import ParquetFile, Rows, read_parquet
from trueup.collect.decode.record_bytes import bounds_of, record_at
from trueup.collect.decode.text import asterisk
from trueup.collect.decode.text.csv import Dialect, header_of, read_csv, usual_width
from trueup.collect.decode.text.fixed_width import read_fixed
from trueup.collect.decode.text.framing import frame_of
from trueup.collect.decode.text.lines import Lines, physical_lines
from trueup.collect.decode.text.multiline_csv import Quoting, quoted_records
from trueup.collect.decode.text.radius_detail import DetailReader
from trueup.collect.decode.text.record_types import of_type
from trueup.collect.decode.text.repeated_header import Header, NamedLines
from trueup.collect.decode.workbook.reader import WorkbookReader
from trueup.collect.decode.xml.reader import XmlReader
from trueup.collect.discover.units import Unit
from trueup.config import SourceConfig
from trueup.config.encodings import check_encoding
from trueup.errors import ConfigError, SourceError

_MOST_FIELDS = 1_000


def reader_of(unit: Unit) -> Reader:
    """Return the reader of a unit by the format of its source; raise `SourceError` where the unit has another format."""
    source = unit.source
    if source.format == "parquet":
        return ParquetReader(unit)
    if source.format == "xlsx":
        return WorkbookReader(unit)
    check_encoding(source.encoding, where=f"source {source.name}")
    unit.check_text()
    if source.format == "ndjson":
        return NdjsonReader(unit)
    if source.format == "xml":
        return XmlReader(unit)
    if source.format == "json":
        return DocumentReader(unit)
    if source.format == "fixed":
        return FixedReader(unit)
    if source.format == "radius":
        return DetailReader(unit)
    return CsvReader(unit, names=asterisk.FIELDS if source.format == "asterisk" else None)


def _check_columns(names: Sequence[str], unit: Unit) -> None:
    if len(names) > unit.limits.columns:
        raise SourceError(
            f"the file has {len(names)} columns, more than {unit.limits.columns}", where=unit.shown,
            todo="check `delimiter` and `format`, or raise `columns` in [limits] or [source.limits]",
        )  # fmt: skip


def _check_ascii_character(source: SourceConfig, name: str) -> str:
    character: str = getattr(source, name)
    if ord(character) > 127 or character in "\r\n":
        raise ConfigError(
            f"{name} = {character!r} is not an ASCII character", where=f"source {source.name}", todo=f"set another {name}"
        )
    return character


class CsvReader:
    """Reader of CSV with or without a header line; fields may be in any order."""

    def __init__(self, unit: Unit, *, names: Sequence[str] | None) -> None:
        source = unit.source
        self._dialect = Dialect(
            _check_ascii_character(source, "delimiter"), _check_ascii_character(source, "quote"), source.encoding
        )
        self._unit, self._frame = unit, frame_of(unit)
        self.declared_records: int | None = self._frame.records
        self.declared_sums: Mapping[str, str] = self._frame.sums
        self._has_header = source.header and names is None
        self._header: Header | None = None
        self._names: tuple[str, ...]
        first = next(self._read_lines(), None)
        if first is None and self._frame.is_shown:
            self._has_header, self._names = False, tuple(names or mapped_names(source))
            return
        if first is None:
            raise SourceError("the file has only empty lines", where=unit.shown, todo="have it delivered again")
        if names is not None:
            self._names = tuple(names)
        elif self._has_header:
            self._check_header(first)
            self._names = header_of(first.only(slice(0, 1)), self._dialect, where=unit.shown)
            self._header = Header(first.raw(0), self._dialect) if source.repeated_header else None
        else:
            fitting, _ = within_limit(self._find_first_of_type(first), unit.limits.record_bytes)
            # A file may have no record of the source's type. Then all mapped fields count as present.
            width = usual_width(fitting, self._dialect) or min(_MOST_FIELDS, unit.limits.columns)
            self._names = tuple(str(number + 1) for number in range(width))
        _check_columns(self._names, unit)

    def columns(self) -> Sequence[str]:
        """Return the names in the header; without a header, the numbers of the fields from 1."""
        return self._names

    def pieces(self) -> Iterator[NamedLines]:
        """Yield the lines after the header, without repeated headers."""
        lines = self._read_lines()
        if self._has_header:
            first = next(lines)
            lines = (piece.renumbered(-1) for piece in chain([first.only(slice(1, None))], lines))
        filled = (piece for piece in lines if len(piece))
        if self._header is not None and self._header.is_recognisable:
            return self._header.named(filled, self._unit.shown)
        return (NamedLines(piece, self._names) for piece in filled)

    def read(self, piece: NamedLines, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode lines."""
        wanted, left_out = of_type(piece.lines, self._unit.source.record_type, self._dialect)
        lines, too_long = within_limit(wanted, self._unit.limits.record_bytes)
        batch = read_csv(lines, self._dialect, piece.names, mapped, attributes=attributes, kept=kept)
        return replace(batch.with_rejected(too_long), left_out=left_out)

    def at(self, row: int, offset: int, length: int | None) -> NamedLines:
        """Return one line, with the names of the latest header before it."""
        return NamedLines(record_at(self._unit, row, offset, length or 0), self._find_names(offset))

    def _find_first_of_type(self, first: Lines) -> Lines:
        """Return the first lines of the source's record type, if any: they show how many fields a record has."""
        record_type = self._unit.source.record_type
        if record_type is None:
            return first
        wanted = (of_type(piece, record_type, self._dialect)[0] for piece in self._read_lines())
        return next((lines for lines in wanted if len(lines)), first.only(slice(0, 0)))

    def _find_names(self, offset: int) -> tuple[str, ...]:
        header = self._header
        if header is None or not header.is_recognisable or not self._may_repeat(header.longest_name, offset):
            return self._names
        until = (piece.names for piece in self.pieces() if piece.lines.offset + int(piece.lines.starts[-1]) >= offset)
        return next(until, self._names)

    def _may_repeat(self, name: bytes, until: int) -> bool:
        """Return whether a name of the header occurs after the header: searching for bytes costs less than finding lines."""
        at, held = 0, b""
        after = next(self._read_lines()).only(slice(0, 1))
        begin = after.offset + int(after.ends[0])
        for chunk in self._unit.stream():
            searched = held + chunk
            if searched.find(name, max(0, begin - at + len(held))) >= 0:
                return True
            at, held = at + len(chunk), searched[-len(name) :]
            if at >= until:
                break
        return False

    def _check_header(self, first: Lines) -> None:
        most = self._unit.limits.record_bytes
        if first.lengths[0] > most:
            raise SourceError(
                f"the header line has {first.lengths[0]} bytes, more than {most}", where=self._unit.shown,
                todo="check `format` and `header`, or raise `record_bytes` in [limits] or [source.limits]",
            )  # fmt: skip

    def _read_lines(self) -> Iterator[Lines]:
        bounds, dialect = bounds_of(self._unit), self._dialect

        def read(chunks: Iterable[bytes]) -> Iterator[Lines]:
            if self._unit.source.quoted_newlines:
                return quoted_records(chunks, Quoting(dialect.delimiter, dialect.quote), bounds=bounds)
            return physical_lines(chunks, bounds=bounds, marks=dialect.delimiter)

        return self._frame.cut(self._unit.stream(), read)


class FixedReader:
    """Reader of fixed-width text: one record per line."""

    def __init__(self, unit: Unit) -> None:
        self._unit, self._frame = unit, frame_of(unit)
        self.declared_records: int | None = self._frame.records
        self.declared_sums: Mapping[str, str] = self._frame.sums
        _check_columns(self.columns(), unit)

    def columns(self) -> Sequence[str]:
        """Return the declared fields."""
        return tuple(self._unit.source.fixed.spans) if self._unit.source.fixed is not None else ()

    def pieces(self) -> Iterator[Lines]:
        """Yield the lines."""
        bounds = bounds_of(self._unit)
        return self._frame.cut(self._unit.stream(), lambda chunks: physical_lines(chunks, bounds=bounds))

    def read(self, piece: Lines, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode lines."""
        source = self._unit.source
        wanted, left_out = of_type(piece, source.record_type, Dialect("", "", source.encoding))
        lines, too_long = within_limit(wanted, self._unit.limits.record_bytes)
        batch = read_fixed(lines, source, mapped, attributes=attributes, kept=kept)
        return replace(batch.with_rejected(too_long), left_out=left_out)

    def at(self, row: int, offset: int, length: int | None) -> Lines:
        """Return one line."""
        return record_at(self._unit, row, offset, length or 0)


class ParquetReader:
    """Reader of Parquet, row group by row group."""

    def __init__(self, unit: Unit) -> None:
        if unit.compression:
            raise SourceError(
                f"a Parquet file must not be {unit.compression}-compressed as a whole", where=unit.shown, todo="decompress it"
            )
        self._limits = unit.limits
        self._file = ParquetFile(unit.handle, unit.shown, unit.limits)
        self.declared_records: int | None = self._file.records
        self.declared_sums: Mapping[str, str] = {}

    def columns(self) -> Sequence[str]:
        """Return the file's columns."""
        return self._file.columns()

    def pieces(self) -> Iterator[Rows]:
        """Yield the rows."""
        return self._file.rows()

    def read(self, piece: Rows, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode rows."""
        return read_parquet(piece, mapped, attributes=attributes, kept=kept, limits=self._limits)

    def at(self, row: int, offset: int, length: int | None) -> Rows:
        """Return one row of the row group `offset`."""
        return self._file.row(offset, row)
