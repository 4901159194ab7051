"""Reader of XML: the elements of one name are the records."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from xml.parsers import expat

from trueup.collect.decode.decoded import Batch, within_limit
from trueup.collect.decode.record_bytes import bounds_of, record_at
from trueup.collect.decode.text.lines import Lines
from trueup.collect.decode.xml.bounded_parser import BoundedParser, local_name
from trueup.collect.decode.xml.elements import ElementScan
from trueup.collect.decode.xml.leaves import XmlForm, leaves_of, read_elements
from trueup.collect.discover.units import Unit
from trueup.errors import SourceError, list_names

_MOST_NAMES = 20
_SHOWN_RECORDS = 1_000
_UNKNOWN_ENCODINGS = (18, 19)
"""Errors of the parser: an encoding that it does not know, or a file in another encoding than it declares."""


class XmlReader:
    """Reader of the elements of one name in a document.

    A document with a document type definition is refused before any record is read. In a document that is not well-formed, only the
    damaged records are rejected.
    """

    declared_records: int | None = None
    declared_sums: Mapping[str, str] = {}

    def __init__(self, unit: Unit) -> None:
        self._unit, self._element = unit, unit.source.element or ""
        self._names: dict[str, None] = {}
        self.repeated: frozenset[str] = frozenset()
        """Paths that occur several times in one of the first records."""
        self._form = XmlForm("utf-8", unit.limits)
        self._is_sound = self._check_document()
        self._columns = self._read_first_columns()

    def columns(self) -> Sequence[str]:
        """Return the paths in the first records."""
        return self._columns

    def pieces(self) -> Iterator[Lines]:
        """Yield the records."""
        return ElementScan(self._element, bounds_of(self._unit), is_sound=self._is_sound).records(self._unit.stream())

    def read(self, piece: Lines, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode records."""
        lines, too_long = within_limit(piece, self._unit.limits.record_bytes)
        return read_elements(lines, self._form, mapped, attributes=attributes, kept=kept).with_rejected(too_long)

    def at(self, row: int, offset: int, length: int | None) -> Lines:
        """Return one record."""
        return record_at(self._unit, row, offset, length or 0)

    def _check_document(self) -> bool:
        """Return whether the document is well-formed; raise `SourceError` for a definition and for an unknown encoding."""
        bounded = BoundedParser(self._unit.shown, seen=self._note_name)
        bounded.parser.XmlDeclHandler = self._declare
        try:
            bounded.feed(self._unit.stream())
        except (expat.ExpatError, LookupError, ValueError) as error:
            if isinstance(error, expat.ExpatError) and error.code not in _UNKNOWN_ENCODINGS:
                return False
            todo = "convert it to UTF-8 before it is delivered"
            raise SourceError("the encoding that the document declares is unknown", where=self._unit.shown, todo=todo) from None
        return True

    def _declare(self, version: str, encoding: str | None, standalone: int) -> None:
        self._form = XmlForm(encoding or "utf-8", self._unit.limits)

    def _note_name(self, name: str) -> None:
        if len(self._names) <= _MOST_NAMES:
            self._names[local_name(name)] = None

    def _read_first_columns(self) -> tuple[str, ...]:
        first = next(self.pieces(), None)
        source = self._unit.source
        if first is None:
            if self._is_sound and len(self._names) <= 1:
                # A root element without child elements is a delivery without records.
                return tuple(dict.fromkeys(name for rule in source.columns.values() for name in rule.names))
            raise SourceError(
                f"the document has no element {self._element!r}; there are {list_names(list(self._names))}", where=self._unit.shown,
                todo=f"correct `element` of source {source.name}",
            )  # fmt: skip
        lines, _ = within_limit(first.only(slice(0, _SHOWN_RECORDS)), self._unit.limits.record_bytes)
        found = (leaves_of(lines.raw(index), self._form.encoding, self._unit.limits) for index in range(len(lines)))
        sound = [one.texts for one in found if one.fault is None]
        self.repeated = frozenset(name for texts in sound for name, values in texts.items() if len(values) > 1)
        return tuple(sorted({name for texts in sound for name in texts}))
