"""A document as plain blocks, which the page and the PDF show alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueup.printable import visible
from trueup.warehouse.text import as_text


@dataclass(frozen=True)
class Heading:
    """A heading: level 1 for a section, level 2 for a part of a section."""

    level: int
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Code:
    """Text in which every character counts, such as raw bytes or arithmetic."""

    text: str


@dataclass(frozen=True)
class Grid:
    """A table; each row has as many cells as there are columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A chart as SVG, and a sentence that describes it."""

    svg: str
    caption: str


Block = Heading | Text | Code | Grid | Picture


@dataclass(frozen=True)
class Document:
    """A title, a sentence below it, and the blocks."""

    title: str
    subtitle: str
    blocks: tuple[Block, ...]


def cell(value: object) -> str:
    """Return a value as harmless text: control characters are escaped, and no character acts as markup."""
    return visible(as_text(value))


def grid(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> Grid:
    """Return dictionaries as a table, with the named columns or all of them."""
    names = tuple(columns or (tuple(rows[0]) if rows else ()))
    cells = tuple(tuple(cell(row.get(name)) for name in names) for row in rows)
    return Grid(tuple(name.replace("_", " ") for name in names), cells)


def side_by_side(records: Sequence[Mapping[str, Any]], names: Sequence[str], labels: Sequence[str]) -> Grid:
    """Return records as columns side by side, with a row for each field that any record has."""
    rows = [(name.replace("_", " "), *(cell(record.get(name)) for record in records)) for name in names]
    return Grid(("field", *labels), tuple(row for row in rows if any(row[1:])))
