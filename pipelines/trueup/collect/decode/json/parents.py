"""Parents: the members around a list, which become columns of each of its records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from json.decoder import JSONDecodeError
from typing import Any

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import Batch
from trueup.collect.decode.text.lines import DescribedLines, Lines, Mask

_BLANKS = " \t\r\n"
_DECODER = json.JSONDecoder()
_Value = tuple[str | None, bool]
"""The text of a value, and whether the file types it as a number."""
_NONE: _Value = (None, False)


@dataclass(frozen=True)
class ParentedLines(DescribedLines):
    """Items of lists, each with the values of the members around its list, by path."""

    values: list[Mapping[str, _Value]]

    def only(self, selection: slice) -> ParentedLines:
        """Return the selected items."""
        return ParentedLines(self.lines.only(selection), self.values[selection])

    def at(self, offset: int) -> ParentedLines | None:
        """Return the item that begins at a byte of the unit, if these lines have it."""
        found = np.flatnonzero(self.lines.starts + self.lines.offset == offset).tolist()
        return self.only(slice(found[0], found[0] + 1)) if found else None

    def added_to(self, batch: Batch, names: Sequence[str], *, shown: Sequence[str]) -> Batch:
        """Return a batch of these items with the columns `names`, some from parents; the parents in `shown` become attributes."""
        by_row = dict(zip(self.lines.rows.tolist(), self.values, strict=True))
        rows = [by_row[row] for row in batch.provenance["source_row"].to_list()]
        parents = [name for name in names if name not in batch.fields.columns]
        columns = {name: pl.Series(name, [row.get(name, _NONE)[0] for row in rows], dtype=pl.String) for name in parents}
        typed: dict[str, Mask] = {name: np.array([row.get(name, _NONE)[1] for row in rows], np.bool_) for name in parents}
        fields = batch.fields.with_columns(**columns) if batch.fields.width else pl.DataFrame(columns)
        texts = (
            [_join_attributes(text, row, shown) for text, row in zip(batch.attributes.to_list(), rows, strict=True)]
            if shown
            else []
        )
        attributes = pl.Series(batch.attributes.name, texts, dtype=pl.String) if shown else batch.attributes
        return replace(batch, fields=fields.select(names), attributes=attributes, typed={**batch.typed, **typed})


@dataclass(frozen=True)
class Parents:
    """Walk from an object to the items of its list at `path`, and collect the members at the paths `names` on the way."""

    path: tuple[str, ...]
    names: tuple[str, ...]

    def items(self, pieces: Iterable[Lines], record_bytes: int) -> Iterator[ParentedLines]:
        """Yield the items of the lists of objects, numbered from 0; an object that is invalid or too long is itself a record."""
        row = 0
        for lines in pieces:
            begins, ends, values = list[int](), list[int](), list[Mapping[str, _Value]]()
            for index in range(len(lines)):
                begin, end = int(lines.starts[index]), int(lines.ends[index])
                found = self._find_items(lines.data[begin:end]) if lines.lengths[index] <= record_bytes else None
                for first, last, around in [(0, end - begin, {})] if found is None else found:
                    begins.append(begin + first)
                    ends.append(begin + last)
                    values.append(around)
            if begins:
                rows = np.arange(row, row + len(begins))
                row += len(begins)
                yield ParentedLines(replace(lines, starts=np.array(begins), ends=np.array(ends), rows=rows), values)

    def _find_items(self, data: bytes) -> list[tuple[int, int, Mapping[str, _Value]]] | None:
        """Return where the items begin and end in an object, with their parents; None where it is no valid JSON object."""
        # Each byte becomes one character, so that offsets in the text are offsets in the file.
        text = data.decode("latin-1")
        try:
            data.decode("utf-8")
            begin = _skip_blanks(text, 0)
            _, end = _DECODER.raw_decode(text, begin)
            if text[begin] != "{" or _skip_blanks(text, end) != len(text):
                return None
            return list(self._walk(text, begin, 0, {}))
        except (ValueError, RecursionError, IndexError):
            return None

    def _walk(
        self, text: str, at: int, level: int, around: Mapping[str, _Value]
    ) -> Iterator[tuple[int, int, Mapping[str, _Value]]]:
        """Yield the items below the value at a position, which is at `level` of the path."""
        if text[at] == "[":
            for begin, end in _list_elements(text, at):
                if level == len(self.path):
                    yield begin, end, around
                elif text[begin] == "{":
                    yield from self._walk(text, begin, level, around)
            return
        if level == len(self.path):
            if not text.startswith("null", at):
                yield at, _find_value_end(text, at), around
            return
        if text[at] != "{":
            return
        members = dict(_list_members(text, at))
        own = {**around, **{name: _find_value(text, members, rest) for name, rest in self._list_parents_left_at(level)}}
        following = members.get(self.path[level])
        if following is not None:
            yield from self._walk(text, following, level + 1, own)

    def _list_parents_left_at(self, level: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the parents whose path leaves the records' path at a level, each with the remainder of its path."""
        for name in self.names:
            path = tuple(name.split("."))
            if path[:level] == self.path[:level] and path[level : level + 1] != self.path[level : level + 1]:
                yield name, path[level:]


def _join_attributes(attributes: str | None, row: Mapping[str, _Value], shown: Sequence[str]) -> str | None:
    """Return the attributes of a record, together with the attributes of its parents that have a value."""
    values = [(name, *row.get(name, _NONE)) for name in shown]
    members = [
        f"{json.dumps(name, ensure_ascii=False)}:{text if is_number else json.dumps(text, ensure_ascii=False)}"
        for name, text, is_number in values
        if text is not None
    ]
    inner = [*members, *([attributes[1:-1]] if attributes is not None else [])]
    return "{" + ",".join(inner) + "}" if inner else None


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def _find_value_end(text: str, at: int) -> int:
    return int(_DECODER.raw_decode(text, at)[1])


def _list_members(text: str, at: int) -> Iterator[tuple[str, int]]:
    """Yield name and position of the value of each member of the object at a position."""
    at = _skip_blanks(text, at + 1)
    while text[at] != "}":
        if text[at] != '"':
            raise JSONDecodeError("a member without a name", text, at)
        name, at = _DECODER.raw_decode(text, at)
        at = _skip_blanks(text, _skip_blanks(text, at) + 1)
        yield _decode_name(name), at
        at = _skip_blanks(text, _find_value_end(text, at))
        at = _skip_blanks(text, at + 1) if text[at] == "," else at


def _list_elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Yield where the elements of the list at a position begin and end."""
    at = _skip_blanks(text, at + 1)
    while text[at] != "]":
        end = _find_value_end(text, at)
        yield at, end
        at = _skip_blanks(text, end)
        at = _skip_blanks(text, at + 1) if text[at] == "," else at


def _find_value(text: str, members: Mapping[str, int], path: Sequence[str]) -> _Value:
    """Return the value at a path of members; a nested value keeps its text, `null` and an empty text are missing."""
    at = members.get(path[0])
    if at is None:
        return _NONE
    if len(path) > 1:
        return _find_value(text, dict(_list_members(text, at)), path[1:]) if text[at] == "{" else _NONE
    end = _find_value_end(text, at)
    raw = text[at:end].encode("latin-1").decode("utf-8")
    if raw.startswith('"'):
        loaded: Any = json.loads(raw)
        return loaded or None, False
    return _NONE if raw == "null" else (raw, raw[0] in "-0123456789")


def _decode_name(name: str) -> str:
    """Return the UTF-8 name whose bytes were read as characters; a name with escapes of other characters stays as written."""
    try:
        return name.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return name
