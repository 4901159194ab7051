"""A document as plain blocks, which the page and the PDF show alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueup.printable import visible
from trueup.warehouse.text import as_text


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is that of a section, level 2 that of a part of it."""

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
    """A chart as SVG, and what it shows in words."""

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
    """Return a value as harmless text: controls are escaped, and nothing is markup."""
    return visible(as_text(value))


def grid(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> Grid:
    """Return a table of dictionaries, with their columns or those named."""
    names = tuple(columns or (tuple(rows[0]) if rows else ()))
    cells = tuple(tuple(cell(row.get(name)) for name in names) for row in rows)
    return Grid(tuple(name.replace("_", " ") for name in names), cells)


def side_by_side(records: Sequence[Mapping[str, Any]], names: Sequence[str], labels: Sequence[str]) -> Grid:
    """Return records as columns, with a row for each field that one of them has."""
    rows = [(name.replace("_", " "), *(cell(record.get(name)) for record in records)) for name in names]
    return Grid(("field", *labels), tuple(row for row in rows if any(row[1:])))
