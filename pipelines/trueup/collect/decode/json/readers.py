"""Readers of JSON: of lines, of lists in lines, and of lists in documents."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from trueup.collect.decode.decoded import Batch, within_limit
from trueup.collect.decode.json.document import DocumentScan, without_mark
from trueup.collect.decode.json.lists import listed_items
from trueup.collect.decode.json.members import Nesting, names_in, read_ndjson
from trueup.collect.decode.record_bytes import bounds_of, record_at
from trueup.collect.decode.text.framing import frame_of
from trueup.collect.decode.text.lines import Lines, physical_lines
from trueup.collect.discover.units import Unit
from trueup.config import SourceConfig
from trueup.errors import SourceError


def mapped_names(source: SourceConfig) -> tuple[str, ...]:
    """Return the columns that the mapping reads: those of a framed file that has no record to show any."""
    return tuple(dict.fromkeys(name for rule in source.columns.values() for name in rule.names))


def _has_paths(source: SourceConfig) -> bool:
    """Return whether the mapping may read a member of a nested object: whether a name or an expression has a dot."""
    texts = [text for rule in source.columns.values() for text in (*rule.names, rule.expression or "")]
    return any("." in text for text in (*texts, source.where or ""))


def _paths(unit: Unit, first: Lines | None) -> Sequence[str]:
    if first is None:
        return ()
    lines, _ = within_limit(first, unit.limits.record_bytes)
    return names_in(lines, unit.source.encoding, nested=True)


def _decode(unit: Unit, piece: Lines, mapped: Sequence[str], *, attributes: bool, kept: Collection[str]) -> Batch:
    lines, too_long = within_limit(piece, unit.limits.record_bytes)
    limits = Nesting(unit.limits.columns, unit.limits.depth)
    batch = read_ndjson(lines, mapped, encoding=unit.source.encoding, attributes=attributes, kept=kept, limits=limits)
    return batch.with_rejected(too_long)


class NdjsonReader:
    """Reader of NDJSON: one JSON object per line, whose members are the source columns; with `records`, the items of its list."""

    def __init__(self, unit: Unit) -> None:
        self._unit, self._frame = unit, frame_of(unit)
        self.declared_records: int | None = self._frame.records
        self.declared_sums: Mapping[str, str] = self._frame.sums

    def columns(self) -> Sequence[str]:
        """Return the member names of the first lines."""
        source, first = self._unit.source, next(self.pieces(), None)
        if first is None:
            return mapped_names(source) if self._frame.is_shown or source.records is not None else ()
        lines, _ = within_limit(first, self._unit.limits.record_bytes)
        return names_in(lines, source.encoding, nested=_has_paths(source))

    def paths(self) -> Sequence[str]:
        """Return the paths of all members of the first lines, also of nested objects."""
        return _paths(self._unit, next(self.pieces(), None))

    def pieces(self) -> Iterator[Lines]:
        """Yield the lines, or the items of their lists."""
        bounds, records = bounds_of(self._unit), self._unit.source.records
        lines = self._frame.cut(self._unit.stream(), lambda chunks: physical_lines(chunks, bounds=bounds, marks='"{['))
        return lines if records is None else listed_items(lines, records.split("."), bounds.record_bytes)

    def read(self, piece: Lines, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode lines."""
        return _decode(self._unit, piece, mapped, attributes=attributes, kept=kept)

    def at(self, row: int, offset: int, length: int | None) -> Lines:
        """Return one line, or one item."""
        return record_at(self._unit, row, offset, length or 0)


class DocumentReader:
    """Reader of a JSON document: the records are the items of its list at `records`, by default of the document's own list.

    A document that is not closed is refused before any of it is ingested: it was cut short, or a quote or bracket is damaged.
    """

    declared_records: int | None = None
    declared_sums: Mapping[str, str] = {}

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        scan = self._scan()
        for _ in scan.records(without_mark(unit.stream())):
            pass
        if not scan.is_closed:
            raise SourceError(
                "the document is not closed: it was cut short, or a quote or bracket in it is damaged", where=unit.shown,
                todo="have it delivered again",
            )  # fmt: skip
        if not scan.is_found:
            what = "list" if unit.source.records is None else f"list at {unit.source.records!r}"
            todo = f"correct `records` of source {unit.source.name}"
            raise SourceError(f"the document has no {what}", where=unit.shown, todo=todo)

    def columns(self) -> Sequence[str]:
        """Return the member names of the first records."""
        first = next(self.pieces(), None)
        if first is None:
            return mapped_names(self._unit.source)
        lines, _ = within_limit(first, self._unit.limits.record_bytes)
        return names_in(lines, self._unit.source.encoding, nested=_has_paths(self._unit.source))

    def paths(self) -> Sequence[str]:
        """Return the paths of all members of the first records, also of nested objects."""
        return _paths(self._unit, next(self.pieces(), None))

    def pieces(self) -> Iterator[Lines]:
        """Yield the records."""
        return self._scan().records(without_mark(self._unit.stream()))

    def read(self, piece: Lines, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode records."""
        return _decode(self._unit, piece, mapped, attributes=attributes, kept=kept)

    def at(self, row: int, offset: int, length: int | None) -> Lines:
        """Return one record."""
        return record_at(self._unit, row, offset, length or 0)

    def _scan(self) -> DocumentScan:
        records = self._unit.source.records
        return DocumentScan([] if records is None else records.split("."), bounds_of(self._unit))
