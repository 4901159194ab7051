"""Readers of JSON: of lines, of lists in lines, and of lists in documents."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from trueup.collect.decode.decoded import Batch, within_limit
from trueup.collect.decode.json.document import DocumentScan, without_mark
from trueup.collect.decode.json.lists import listed_items
from trueup.collect.decode.json.members import Nesting, names_in, read_ndjson
from trueup.collect.decode.json.parents import ParentedLines, Parents
from trueup.collect.decode.record_bytes import bounds_of, record_at
from trueup.collect.decode.text.framing import frame_of
from trueup.collect.decode.text.lines import Lines, physical_lines
from trueup.collect.discover.units import Unit
from trueup.config import SourceConfig
from trueup.errors import SourceError


def mapped_names(source: SourceConfig) -> tuple[str, ...]:
    """Return the columns that the mapping reads; a framed file without records has no other columns to show."""
    return tuple(dict.fromkeys(name for rule in source.columns.values() for name in rule.names))


def _has_paths(source: SourceConfig) -> bool:
    """Return whether the mapping may read a member of a nested object: whether a name or an expression has a dot."""
    texts = [text for rule in source.columns.values() for text in (*rule.names, rule.expression or "")]
    return any("." in text for text in (*texts, source.where or ""))


def _list_paths(unit: Unit, first: _Piece | None) -> Sequence[str]:
    if first is None:
        return ()
    lines, _ = within_limit(_find_lines(first), unit.limits.record_bytes)
    return (*names_in(lines, unit.source.encoding, nested=True), *unit.source.parents)


def _list_names(unit: Unit, first: _Piece) -> Sequence[str]:
    """Return the member names of the first records; raise `SourceError` where no record has a member."""
    source = unit.source
    lines, _ = within_limit(_find_lines(first), unit.limits.record_bytes)
    names = names_in(lines, source.encoding, nested=_has_paths(source))
    if not names:
        raise SourceError(
            "no record at the beginning of the file is a JSON object with members, within record_bytes of [limits]",
            where=unit.shown, todo=f'check `path` and `format` of source {source.name}: "json" reads documents of any length',
        )  # fmt: skip
    return (*names, *source.parents)


_Piece = Lines | ParentedLines


def _find_lines(piece: _Piece) -> Lines:
    return piece.lines if isinstance(piece, ParentedLines) else piece


def _build_parent_finder(unit: Unit) -> Parents | None:
    """Return a finder of the members around the list that the mapping reads; None where it reads none."""
    records, names = unit.source.records, unit.source.parents
    return Parents(tuple(records.split(".")), names) if records is not None and names else None


def _read_record(unit: Unit, pieces: Iterator[_Piece], row: int, offset: int, length: int | None) -> _Piece:
    """Return one record; where the source reads parents, search the unit for the members around the record."""
    if _build_parent_finder(unit) is None:
        return record_at(unit, row, offset, length or 0)
    found = (piece.at(offset) for piece in pieces if isinstance(piece, ParentedLines))
    item = next((one for one in found if one is not None), None)
    return ParentedLines(record_at(unit, row, offset, length or 0), [{}]) if item is None else item


def _decode_piece(unit: Unit, piece: _Piece, mapped: Sequence[str], *, attributes: bool, kept: Collection[str]) -> Batch:
    if isinstance(piece, ParentedLines):
        own = [name for name in mapped if name not in unit.source.parents]
        hidden = set(mapped).difference(kept)
        shown = [name for name in unit.source.parents if attributes and name not in hidden]
        return piece.added_to(_decode_piece(unit, piece.lines, own, attributes=attributes, kept=kept), mapped, shown=shown)
    lines, too_long = within_limit(piece, unit.limits.record_bytes)
    limits = Nesting(unit.limits.columns, unit.limits.depth)
    batch = read_ndjson(lines, mapped, encoding=unit.source.encoding, attributes=attributes, kept=kept, limits=limits)
    return batch.with_rejected(too_long)


class NdjsonReader:
    """Reader of NDJSON: each line is a JSON object, which is a record or, with `records`, contains a list of records."""

    def __init__(self, unit: Unit) -> None:
        self._unit, self._frame = unit, frame_of(unit)
        self.declared_records: int | None = self._frame.records
        self.declared_sums: Mapping[str, str] = self._frame.sums

    def columns(self) -> Sequence[str]:
        """Return the member names of the first lines."""
        source, first = self._unit.source, next(self.pieces(), None)
        if first is None:
            return mapped_names(source) if self._frame.is_shown or source.records is not None else ()
        return _list_names(self._unit, first)

    def paths(self) -> Sequence[str]:
        """Return the paths of all members of the first lines, also of nested objects."""
        return _list_paths(self._unit, next(self.pieces(), None))

    def pieces(self) -> Iterator[_Piece]:
        """Yield the lines, or the items of their lists."""
        bounds, records = bounds_of(self._unit), self._unit.source.records
        lines = self._frame.cut(self._unit.stream(), lambda chunks: physical_lines(chunks, bounds=bounds, marks='"{['))
        parents = _build_parent_finder(self._unit)
        if parents is not None:
            return parents.items(lines, bounds.record_bytes)
        return lines if records is None else listed_items(lines, records.split("."), bounds.record_bytes)

    def read(self, piece: _Piece, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode lines."""
        return _decode_piece(self._unit, piece, mapped, attributes=attributes, kept=kept)

    def at(self, row: int, offset: int, length: int | None) -> _Piece:
        """Return one line, or one item."""
        return _read_record(self._unit, self.pieces(), row, offset, length)


class DocumentReader:
    """Reader of a JSON document: the records are the items of the list at `records`, by default of the document's own list.

    A document with an open bracket or quote is refused before any record is ingested: it was cut short or is damaged.
    """

    declared_records: int | None = None
    declared_sums: Mapping[str, str] = {}

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        scan = self._begin_scan()
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
        return _list_names(self._unit, first)

    def paths(self) -> Sequence[str]:
        """Return the paths of all members of the first records, also of nested objects."""
        return _list_paths(self._unit, next(self.pieces(), None))

    def pieces(self) -> Iterator[_Piece]:
        """Yield the records."""
        parents, bounds = _build_parent_finder(self._unit), bounds_of(self._unit)
        if parents is not None:
            objects = DocumentScan([], bounds).records(without_mark(self._unit.stream()))
            return parents.items(objects, bounds.record_bytes)
        return self._begin_scan().records(without_mark(self._unit.stream()))

    def read(self, piece: _Piece, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode records."""
        return _decode_piece(self._unit, piece, mapped, attributes=attributes, kept=kept)

    def at(self, row: int, offset: int, length: int | None) -> _Piece:
        """Return one record."""
        return _read_record(self._unit, self.pieces(), row, offset, length)

    def _begin_scan(self) -> DocumentScan:
        records = self._unit.source.records
        return DocumentScan([] if records is None else records.split("."), bounds_of(self._unit))
