"""The package of a workbook: its sheets by name, shared strings, formats of dates and epoch, read within bounds."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO
from xml.etree.ElementTree import ParseError
from xml.parsers import expat

from trueup.collect.decode.xml.bounded_parser import BoundedParser, local_name
from trueup.collect.discover.archives import BoundedFile
from trueup.collect.discover.units import Unit
from trueup.collect.discover.unpack import LEAST_BYTES
from trueup.errors import SourceError, list_names

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_CHUNK_BYTES = 1 << 16
_STRINGS = "sharedStrings.xml"
_SHEETS = "/worksheets/"
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ParseError, expat.ExpatError, KeyError, ValueError, TypeError,
    AttributeError, IndexError,
)  # fmt: skip
"""Exceptions that the libraries raise for a damaged workbook."""


@dataclass(frozen=True)
class Sheet:
    """One worksheet: its file in the package, and the values on which the texts of its cells depend.

    `strings` are shared by all cells. `dates` and `durations` are the numbers of styles that show a number as a date or a span of
    time. Such numbers count days from `epoch`.
    """

    member: str
    strings: list[str]
    dates: frozenset[int]
    durations: frozenset[int]
    epoch: datetime


class Workbook:
    """An open workbook; raises `SourceError` for a file that is no workbook, is damaged or encrypted, or exceeds a limit."""

    def __init__(self, unit: Unit, *, any_sheet: bool = False) -> None:
        self._unit, self._any_sheet = unit, any_sheet
        self.visible: list[str] = []
        with self.damage():
            self._archive = zipfile.ZipFile(self._open_file())
            self._check_sizes()
            self.sheet = self._find_sheet()

    @contextmanager
    def damage(self) -> Iterator[None]:
        """Turn the libraries' exceptions for a damaged workbook into a `SourceError`."""
        try:
            yield
        except _DAMAGE as error:
            raise SourceError(
                f"the workbook is damaged: {error or type(error).__name__}", where=self._unit.shown, todo="have it delivered again"
            ) from None

    def chunks(self) -> Iterator[bytes]:
        """Yield the XML of the sheet."""
        yield from self._read_member(self.sheet.member)

    def _read_member(self, name: str) -> Iterator[bytes]:
        with self._archive.open(name) as content:
            while chunk := content.read(_CHUNK_BYTES):
                yield chunk

    def _open_file(self) -> BinaryIO:
        unit = self._unit
        unit.handle.seek(0)
        head = unit.handle.read(8)
        if head.startswith(_OLE):
            raise SourceError(
                "the workbook has a password, or is of an old Office version (xls)", where=unit.shown,
                todo="save it as xlsx without a password",
            )  # fmt: skip
        if not head.startswith(b"PK\x03\x04"):
            todo = f"check `path` and `format` of source {unit.source.name}"
            raise SourceError("the file is not a workbook (xlsx)", where=unit.shown, todo=todo)
        return BoundedFile(unit.handle, unit.shown)  # type: ignore[return-value]

    def _check_sizes(self) -> None:
        """Refuse a package that unpacks to more than the limits. The zip reader enforces the declared size of each member."""
        unit, members = self._unit, self._archive.infolist()
        if any(member.flag_bits & 1 for member in members):
            raise SourceError("the workbook is encrypted", where=unit.shown, todo="have it delivered without a password")
        most = max(LEAST_BYTES, unit.limits.expansion * unit.size_bytes)
        if sum(member.file_size for member in members) > most:
            raise self._size_error("the workbook", most, "expansion")
        for member in members:
            limit = "page_bytes" if member.filename.endswith(_STRINGS) else "footer_bytes"
            if _SHEETS not in member.filename and member.filename.endswith((".xml", ".rels")):
                if member.file_size > getattr(unit.limits, limit):
                    raise self._size_error(f"{member.filename} of the workbook", getattr(unit.limits, limit), limit)
                BoundedParser(unit.shown).feed(self._read_member(member.filename))

    def _size_error(self, what: str, most: int, limit: str) -> SourceError:
        todo = f"check the file, or raise `{limit}` in [limits] or [source.limits]"
        return SourceError(f"{what} unpacks to more than {most} bytes", where=self._unit.shown, todo=todo)

    def _find_sheet(self) -> Sheet:
        # The library takes longer to import than most files take to read, and few sources are workbooks.
        from openpyxl.reader.excel import ExcelReader
        from openpyxl.styles.stylesheet import apply_stylesheet
        from openpyxl.xml.constants import SHARED_STRINGS

        reader = ExcelReader(self._open_file(), read_only=True, keep_links=False)
        with warnings.catch_warnings():
            # The library warns where it uses defaults, for example for missing styles.
            warnings.simplefilter("ignore")
            reader.read_manifest()
            reader.read_workbook()
            apply_stylesheet(reader.archive, reader.wb)
        part = reader.package.find(SHARED_STRINGS)
        strings = [] if part is None else self._read_strings(part.PartName[1:])
        sheets = {sheet.name: (relation.target, sheet.state) for sheet, relation in reader.parser.find_sheets()}
        sheets = {name: at for name, at in sheets.items() if _SHEETS in f"/{at[0]}"}
        self.visible = _list_visible_sheets(sheets)
        return Sheet(
            sheets[self._choose_sheet(sheets)][0], strings, frozenset(reader.wb._date_formats),
            frozenset(reader.wb._timedelta_formats), reader.wb.epoch,
        )  # fmt: skip

    def _read_strings(self, member: str) -> list[str]:
        """Return the shared strings in order. The library would take ten times as long."""
        strings, held, is_text, phonetic = list[str](), list[str](), False, 0

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal is_text, phonetic
            phonetic += local_name(name) == "rPh"
            is_text = local_name(name) == "t" and not phonetic

        def text(data: str) -> None:
            if is_text:
                held.append(data)

        def end(name: str) -> None:
            nonlocal is_text, phonetic
            is_text, phonetic = False, phonetic - (local_name(name) == "rPh")
            if local_name(name) == "si":
                strings.append("".join(held))
                held.clear()

        bounded = BoundedParser(self._unit.shown)
        bounded.parser.StartElementHandler, bounded.parser.EndElementHandler = start, end
        bounded.parser.CharacterDataHandler = text
        bounded.feed(self._read_member(member))
        return strings

    def _choose_sheet(self, sheets: dict[str, tuple[str, str]]) -> str:
        source, wanted = self._unit.source, self._unit.source.sheet
        if wanted is not None and wanted in sheets:
            return wanted
        visible = _list_visible_sheets(sheets)
        if wanted is None and (len(visible) == 1 or (visible and self._any_sheet)):
            return visible[0]
        what = f"the workbook has no sheet {wanted!r}" if wanted is not None else f"the workbook has {len(visible)} sheets"
        todo = f"set `sheet` of source {source.name} to one of {list_names(list(sheets))}"
        raise SourceError(what, where=self._unit.shown, todo=todo)


def _list_visible_sheets(sheets: dict[str, tuple[str, str]]) -> list[str]:
    return [name for name, (_, state) in sheets.items() if state == "visible"]


def visible_sheets(unit: Unit) -> list[str]:
    """Return the names of the visible sheets of a workbook, in order; raise `SourceError` as `Workbook` does."""
    return Workbook(unit, any_sheet=True).visible
