"""Members: finds the members of each line's object by their punctuation, so that a number keeps its text.

A JSON parser would return `48.470239449903275` as the nearest float. Here DuckDB's parser only decides which lines are valid.
Quotes, brackets and colons then show where the members of valid lines begin and end.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import (
    Batch,
    concat_rejected,
    line_series,
    provenance_of,
    raw_of,
    screen_lines,
    slice_cells,
)
from trueup.collect.decode.text.lines import Lines, Mask, Offsets
from trueup.collect.decode.thread_connection import own_connection
from trueup.frames import query_frames

_QUOTE, _BACKSLASH, _COLON, _COMMA = b'"\\:,'
_BLANKS = np.zeros(256, np.bool_)
_BLANKS[list(b" \t\r\n")] = True
_OPENING, _CLOSING = list(b"{["), list(b"}]")
_FEW = 16
"""Up to this many consecutive blanks or backslashes are skipped one by one, in all lines at once; longer runs are searched."""


@dataclass(frozen=True)
class Nesting:
    """Maximum number of members of an object, and maximum depth of nesting."""

    members: int
    depth: int


_FREE = Nesting(2**31, 2**31)

Cells = tuple[Offsets, Offsets, Mask, Mask]
"""Starts and ends of one value per line (equal where a line has none), which values are strings, and which lines have several."""


@dataclass(frozen=True)
class Members:
    """Members of the outermost object of each line, in order: positions in the block, including the quotes of strings."""

    line: Offsets
    key_start: Offsets
    key_end: Offsets
    value_start: Offsets
    value_end: Offsets

    def only(self, selection: Offsets | Mask) -> Members:
        """Return the selected members."""
        arrays = (self.line, self.key_start, self.key_end, self.value_start, self.value_end)
        return Members(*(array[selection] for array in arrays))


def read_ndjson(
    lines: Lines, mapped: Sequence[str], *, encoding: str, attributes: bool, kept: Collection[str] = (), limits: Nesting = _FREE
) -> Batch:
    """Decode lines of JSON objects; reject lines that are not valid objects, exceed `limits`, or repeat a mapped member.

    Strings lose their quotes and escapes; numbers and nested values keep their text; `null` is NULL. A mapped name with dots names
    a member, or else the path of a member of nested objects: `a.b` is `b` of the object `a`.
    """
    screened = screen_lines(lines, encoding)
    screened = screened.without(~is_object(screened.text), "unparsable", "line: is a JSON object")
    is_too_deep = _count_line_depths(screened.text) > limits.depth
    screened = screened.without(is_too_deep, "over_limit", f"line: is nested {limits.depth} deep at most (depth in [limits])")
    members = members_of(screened.text)
    has_too_many = np.bincount(members.line, minlength=len(screened.text)) > limits.members
    if has_too_many.any():
        screened = screened.without(has_too_many, "over_limit", f"line: has at most {limits.members} members (columns in [limits])")
        members = members_of(screened.text)
    paths = Paths(screened.text, members)
    cells = {name: paths.cells_of_name(name) for name in mapped}
    is_repeated = np.zeros(len(screened.text), np.bool_)
    for *_, repeated in cells.values():
        is_repeated |= repeated
    if is_repeated.any():
        clean = screened.without(is_repeated, "unparsable", "line: has each member once")
        batch = read_ndjson(clean.lines, mapped, encoding=encoding, attributes=attributes, kept=kept)
        return batch.with_rejected(clean.rejected)
    is_unmapped = np.ones(len(members.line), np.bool_)
    for name in mapped:
        is_unmapped[paths.rows(name)] = name in kept
    fields = slice_cells(screened.text, {name: (starts, ends) for name, (starts, ends, *_) in cells.items()})
    if b"\\" in screened.text.data:
        fields = fields.with_columns(_unescape_texts(fields[name], is_string) for name, (_, _, is_string, _) in cells.items())
    attribute_texts = _build_objects(screened.text, members.only(is_unmapped)) if attributes else _make_nulls(len(screened.text))
    return Batch(
        fields.select(mapped),
        attribute_texts,
        provenance_of(screened.lines),
        raw_of(screened.lines),
        concat_rejected(screened.rejected),
        {name: ~is_string for name, (_, _, is_string, _) in cells.items()},
    )


# --- which lines are valid --------------------------------------------------------------------------------------------


def is_object(text: Lines) -> Mask:
    """Return which lines are valid JSON objects."""
    lines = slice_cells(text, {"line": (text.starts, text.ends)})
    query = "SELECT CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END AS is_object FROM lines"
    return query_frames(own_connection(), query, lines=lines)["is_object"].to_numpy().astype(np.bool_)


# --- positions of members ---------------------------------------------------------------------------------------------


def members_of(text: Lines) -> Members:
    """Find the members of the outermost objects of lines that are valid JSON objects."""
    numbers = text.codes
    opens, closes = strings_of(text)
    colon = _skip_blanks(numbers, closes + 1)
    is_key = numbers[colon] == _COLON
    is_key &= _count_depth(text, opens, closes) == 1
    key_start, key_end = opens[is_key], closes[is_key] + 1
    value_start = _skip_blanks(numbers, colon[is_key] + 1)
    line = np.searchsorted(text.ends, key_start, side="right")
    following = np.append(key_start[1:], 0)
    is_last = np.append(line[1:] != line[:-1], True)[: len(line)]
    following = np.where(is_last, _find_object_ends(text)[line], following)
    return Members(line, key_start, key_end, value_start, _skip_blanks_back(numbers, following))


def strings_of(text: Lines) -> tuple[Offsets, Offsets]:
    """Return positions of the opening and closing quotes of all strings."""
    numbers = text.codes
    quotes = np.flatnonzero(numbers == _QUOTE)
    line = np.searchsorted(text.ends, quotes, side="right")
    inside = line < len(text)
    inside[inside] = text.starts[line[inside]] <= quotes[inside]
    quotes = quotes[inside]
    if b"\\" in text.data and len(quotes):
        quotes = quotes[~_mark_escaped_quotes(numbers, quotes)]
    return quotes[0::2], quotes[1::2]


def _mark_escaped_quotes(numbers: np.ndarray, quotes: Offsets) -> Mask:  # type: ignore[type-arg]
    """Return which quotes follow an odd number of backslashes."""
    backslashes = np.zeros(256, np.bool_)
    backslashes[_BACKSLASH] = True
    odd: Mask = (quotes - _step_back_over(numbers, quotes, backslashes)) % 2 == 1
    return odd


def _count_depth(text: Lines, opens: Offsets, closes: Offsets) -> Offsets:
    """Return the depth in objects and arrays of each string."""
    if _is_flat(text):
        return np.ones(len(opens), np.int64)
    brackets, depth = brackets_of(text, opens, closes)
    of_strings: Offsets = depth[np.searchsorted(brackets, opens) - 1]
    return of_strings


def _is_flat(text: Lines) -> bool:
    return text.data.count(b"{") == len(text) and b"[" not in text.data


def brackets_of(text: Lines, opens: Offsets, closes: Offsets) -> tuple[Offsets, Offsets]:
    """Return the brackets in lines and outside strings, and the depth after each."""
    numbers = text.codes
    brackets = np.flatnonzero(np.isin(numbers, _OPENING + _CLOSING))
    string = np.searchsorted(opens, brackets, side="right") - 1
    in_string = (string >= 0) & (brackets < closes[np.maximum(string, 0)]) if len(opens) else np.zeros(len(brackets), np.bool_)
    line = np.searchsorted(text.ends, brackets, side="right")
    outside = line >= len(text)
    outside[~outside] = text.starts[line[~outside]] > brackets[~outside]
    brackets = brackets[~in_string & ~outside]
    return brackets, np.cumsum(np.where(np.isin(numbers[brackets], _OPENING), 1, -1))


def _count_line_depths(text: Lines) -> Offsets:
    """Return the depth of nesting of each line's object; the lines are valid JSON objects."""
    deepest = np.ones(len(text), np.int64)
    if not _is_flat(text):
        brackets, depth = brackets_of(text, *strings_of(text))
        np.maximum.at(deepest, np.searchsorted(text.ends, brackets, side="right"), depth)
    return deepest


def _find_object_ends(text: Lines) -> Offsets:
    """Return the position of the closing brace of each line's object."""
    return _step_back_over(text.codes, text.ends, _BLANKS) - 1


def _skip_blanks(numbers: np.ndarray, at: Offsets) -> Offsets:  # type: ignore[type-arg]
    at = at.copy()
    blank = np.flatnonzero(_BLANKS[numbers[at]])
    for _ in range(_FEW if len(blank) else 0):
        at[blank] += 1
        blank = blank[_BLANKS[numbers[at[blank]]]]
    if len(blank):
        others = np.flatnonzero(~_BLANKS[numbers])
        at[blank] = others[np.searchsorted(others, at[blank])]
    return at


def _skip_blanks_back(numbers: np.ndarray, at: Offsets) -> Offsets:  # type: ignore[type-arg]
    """Return the end of the text before each position, skipping back over blanks and a comma."""
    gap = _BLANKS.copy()
    gap[_COMMA] = True
    return _step_back_over(numbers, at, gap)


def _step_back_over(numbers: np.ndarray, at: Offsets, gap: Mask) -> Offsets:  # type: ignore[type-arg]
    """Move each position back to the end of the text before its gap; every position has text before it."""
    at = at.copy()
    unfinished = np.flatnonzero(gap[numbers[at - 1]])
    for _ in range(_FEW if len(unfinished) else 0):
        at[unfinished] -= 1
        unfinished = unfinished[gap[numbers[at[unfinished] - 1]]]
    if len(unfinished):
        others = np.flatnonzero(~gap[numbers])
        at[unfinished] = others[np.searchsorted(others, at[unfinished]) - 1] + 1
    return at


# --- values of members ------------------------------------------------------------------------------------------------


def _find_named_members(text: Lines, members: Members, name: str) -> Offsets:
    """Return the indices of members with this name."""
    key = json.dumps(name, ensure_ascii=False).encode()
    rows = np.flatnonzero(members.key_end - members.key_start == len(key))
    for index, code in enumerate(key):
        rows = rows[text.codes[members.key_start[rows] + index] == code]
    return rows


_MOST_NAMES, _MOST_LEVELS = 10_000, 10
"""Maximum number of names, and of levels of nested objects, that are listed as columns."""


class Paths:
    """Members of lines that are valid JSON objects, and of the objects nested in them."""

    def __init__(self, text: Lines, members: Members | None = None) -> None:
        self._text = text
        self._members = members_of(text) if members is None else members
        self._inner: dict[str, tuple[Paths, Offsets]] = {}
        self._rows: dict[str, Offsets] = {}

    def rows(self, name: str) -> Offsets:
        """Return the indices of the outermost members with this name."""
        if name not in self._rows:
            self._rows[name] = _find_named_members(self._text, self._members, name)
        return self._rows[name]

    def cells_of_name(self, name: str) -> Cells:
        """Return the values of a member; in lines without a member of that name, the values at its dotted path."""
        cells = self.cells([name])
        if "." not in name:
            return cells
        nested = self.cells(name.split("."))
        is_own = np.zeros(len(self._text), np.bool_)
        is_own[self._members.line[self.rows(name)]] = True
        starts, ends, strings, repeated = (np.where(is_own, a, b) for a, b in zip(cells, nested, strict=True))
        return starts, ends, strings, repeated

    def cells(self, path: Sequence[str]) -> Cells:
        """Return the values at a path of member names."""
        first, *rest = path
        rows = self.rows(first)
        is_repeated = np.bincount(self._members.line[rows], minlength=len(self._text)) > 1
        if not rest:
            return (*_find_cells(self._text, self._members.only(rows)), is_repeated)
        starts, ends, strings = self._text.starts.copy(), self._text.starts.copy(), np.zeros(len(self._text), np.bool_)
        inner, line = self.inside(first)
        starts[line], ends[line], strings[line], repeated = inner.cells(rest)
        is_repeated[line] |= repeated
        return starts, ends, strings, is_repeated

    def inside(self, name: str) -> tuple[Paths, Offsets]:
        """Return the objects that are the values of a member, and the line of each."""
        if name not in self._inner:
            members = self._members.only(self.rows(name))
            members = members.only(self._text.codes[members.value_start] == _OPENING[0])
            # A line with a repeated member is rejected later; until then its first value counts.
            members = members.only(np.append(True, members.line[1:] != members.line[:-1])[: len(members.line)])
            line = members.line
            nested = replace(self._text, starts=members.value_start, ends=members.value_end, rows=self._text.rows[line])
            self._inner[name] = Paths(nested), line
        return self._inner[name]

    def names(self, *, levels: int = 1) -> Iterator[str]:
        """Yield the names of all members, and the paths of nested members up to a number of levels."""
        members, data = self._members, self._text.data
        keys = {data[start:end] for start, end in zip(members.key_start.tolist(), members.key_end.tolist(), strict=True)}
        for key in sorted(keys):
            name = str(json.loads(key))
            yield name
            if levels > 1:
                inner, line = self.inside(name)
                yield from (f"{name}.{nested}" for nested in (inner.names(levels=levels - 1) if len(line) else ()))


def names_in(lines: Lines, encoding: str, *, nested: bool = False) -> tuple[str, ...]:
    """Return the names of all members of the valid lines, sorted; if `nested`, also the paths of members of nested objects."""
    text = screen_lines(lines, encoding).text
    paths = Paths(text.only(is_object(text)))
    return tuple(sorted(set(islice(paths.names(levels=_MOST_LEVELS if nested else 1), _MOST_NAMES))))


def _find_cells(text: Lines, members: Members) -> tuple[Offsets, Offsets, Mask]:
    """Return starts and ends of the values of one name by line, and which of them are strings.

    The range is empty where a line lacks the member, or its value is null or an empty string.
    """
    start, end = members.value_start, members.value_end
    is_string = text.codes[start] == _QUOTE
    is_null = (text.codes[start] == ord("n")) & (end - start == 4)
    starts, ends, strings = text.starts.copy(), text.starts.copy(), np.zeros(len(text), np.bool_)
    starts[members.line] = start + is_string
    ends[members.line] = np.where(is_null, start, end - is_string)
    strings[members.line] = is_string
    return starts, ends, strings


def _unescape_texts(texts: pl.Series, is_string: Mask) -> pl.Series:
    rows = (texts.str.contains("\\", literal=True).fill_null(False) & pl.Series(is_string)).arg_true()
    if not len(rows):
        return texts
    quoted = pl.select(pl.concat_str(pl.lit('"'), texts.gather(rows), pl.lit('"'))).to_series()
    return texts.scatter(rows, quoted.str.json_decode(pl.String))


def _build_objects(text: Lines, members: Members) -> pl.Series:
    """Return each line's members as a JSON object with their original text; NULL for a line without members."""
    if not len(members.line):
        return _make_nulls(len(text))
    at = pl.DataFrame(
        {
            "line": members.line,
            "start": members.key_start - text.starts[members.line],
            "end": members.value_end - text.starts[members.line],
        }
    )
    written = at.with_columns(text=line_series(text).gather(at["line"]).rename("text")).select(
        "line", text=pl.col("text").bin.slice("start", pl.col("end") - pl.col("start")).cast(pl.String)
    )
    objects = written.group_by("line", maintain_order=True).agg(pl.col("text").str.join(","))
    out = pl.repeat(None, len(text), dtype=pl.String, eager=True)
    return out.scatter(objects["line"], objects.select(pl.lit("{") + pl.col("text") + "}").to_series())


def _make_nulls(size: int) -> pl.Series:
    return pl.repeat(None, size, dtype=pl.String, eager=True)
