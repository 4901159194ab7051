"""NDJSON: the members of each line's object found by their punctuation, so that a number stays the text it is.

A JSON parser would hand over `48.470239449903275` as the nearest float. Here DuckDB's parser only says which lines are valid;
where the members of the valid ones begin and end is then plain from their quotes, brackets and colons.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import Batch, Screened, joined, line_series, places_of, raw_of, screened, sliced
from trueup.collect.decode.lines import Lines, Mask, Offsets
from trueup.collect.decode.thread_connection import own_connection
from trueup.frames import query_frames

_QUOTE, _BACKSLASH, _COLON, _COMMA = b'"\\:,'
_BLANKS = np.zeros(256, np.bool_)
_BLANKS[list(b" \t")] = True
_OPENING, _CLOSING = list(b"{["), list(b"}]")
_FEW = 16
"""Blanks or backslashes in a row that are stepped over one by one, in all lines at once; more are jumped over."""


@dataclass(frozen=True)
class Nesting:
    """How many members an object may have, and how deep it may be nested."""

    members: int
    depth: int


_FREE = Nesting(2**31, 2**31)


@dataclass(frozen=True)
class Members:
    """The members of the outermost object of each line, in order: places in the block, quotes of strings included."""

    line: Offsets
    key_start: Offsets
    key_end: Offsets
    value_start: Offsets
    value_end: Offsets

    def only(self, wanted: Offsets | Mask) -> Members:
        """Some of the members."""
        arrays = (self.line, self.key_start, self.key_end, self.value_start, self.value_end)
        return Members(*(array[wanted] for array in arrays))


def read_ndjson(lines: Lines, mapped: Sequence[str], *, encoding: str, attributes: bool, limits: Nesting = _FREE) -> Batch:
    """Reads lines of JSON objects; takes out what is no valid object, is beyond `limits`, or has a mapped member twice.

    Strings are taken without quotes and escapes, numbers and nested values as they are written; `null` is NULL.
    """
    kept = screened(lines, encoding)
    kept = kept.without(~_objects(kept.text), "unparsable", "line: is a JSON object")
    deep = _depths(kept.text) > limits.depth
    kept = kept.without(deep, "over_limit", f"line: is nested {limits.depth} deep at most (depth in [limits])")
    members = members_of(kept.text)
    many = np.bincount(members.line, minlength=len(kept.text)) > limits.members
    if many.any():
        kept = kept.without(many, "over_limit", f"line: has at most {limits.members} members (columns in [limits])")
        members = members_of(kept.text)
    found = {name: _named(kept.text, members, name) for name in mapped}
    twice = np.zeros(len(kept.text), np.bool_)
    for rows in found.values():
        twice[np.bincount(members.line[rows], minlength=len(twice)) > 1] = True
    if twice.any():
        return _merged(kept, twice, mapped, encoding, attributes)
    rest = np.ones(len(members.line), np.bool_)
    for rows in found.values():
        rest[rows] = False
    cells = {name: _cells(kept.text, members.only(rows)) for name, rows in found.items()}
    fields = sliced(kept.text, {name: (starts, ends) for name, (starts, ends, _) in cells.items()})
    if b"\\" in kept.text.data:
        fields = fields.with_columns(_unescaped(fields[name], is_string) for name, (_, _, is_string) in cells.items())
    kept_attributes = _objects_of(kept.text, members.only(rest)) if attributes else _none(len(kept.text))
    return Batch(fields.select(mapped), kept_attributes, places_of(kept.lines), raw_of(kept.lines), joined(kept.rejected))


def _merged(kept: Screened, twice: Mask, mapped: Sequence[str], encoding: str, attributes: bool) -> Batch:
    clean = kept.without(twice, "unparsable", "line: has each member once")
    again = read_ndjson(clean.lines, mapped, encoding=encoding, attributes=attributes)
    return Batch(again.fields, again.attributes, again.places, again.raw, joined([*clean.rejected, again.rejected]))


# --- which lines are valid --------------------------------------------------------------------------------------------


def _objects(text: Lines) -> Mask:
    """Which lines are a valid JSON object."""
    lines = sliced(text, {"line": (text.starts, text.ends)})
    query = "SELECT CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END AS is_object FROM lines"
    return query_frames(own_connection(), query, lines=lines)["is_object"].to_numpy().astype(np.bool_)


# --- where the members are --------------------------------------------------------------------------------------------


def members_of(text: Lines) -> Members:
    """Finds the members of the outermost objects of lines that are valid JSON objects."""
    numbers = text.codes
    opens, closes = _strings(text)
    colon = _after_blanks(numbers, closes + 1)
    is_key = numbers[colon] == _COLON
    is_key &= _depth(text, opens, closes) == 1
    key_start, key_end = opens[is_key], closes[is_key] + 1
    value_start = _after_blanks(numbers, colon[is_key] + 1)
    line = np.searchsorted(text.ends, key_start, side="right")
    following = np.append(key_start[1:], 0)
    is_last = np.append(line[1:] != line[:-1], True)[: len(line)]
    following = np.where(is_last, _object_ends(text)[line], following)
    return Members(line, key_start, key_end, value_start, _before_blanks(numbers, following))


def _strings(text: Lines) -> tuple[Offsets, Offsets]:
    """Opening and closing quotes of all strings."""
    numbers = text.codes
    quotes = np.flatnonzero(numbers == _QUOTE)
    line = np.searchsorted(text.ends, quotes, side="right")
    inside = line < len(text)
    inside[inside] = text.starts[line[inside]] <= quotes[inside]
    quotes = quotes[inside]
    if b"\\" in text.data and len(quotes):
        quotes = quotes[~_escaped(numbers, quotes)]
    return quotes[0::2], quotes[1::2]


def _escaped(numbers: np.ndarray, quotes: Offsets) -> Mask:  # type: ignore[type-arg]
    """Quotes behind an odd number of backslashes."""
    backslashes = np.zeros(256, np.bool_)
    backslashes[_BACKSLASH] = True
    odd: Mask = (quotes - _back_over(numbers, quotes, backslashes)) % 2 == 1
    return odd


def _depth(text: Lines, opens: Offsets, closes: Offsets) -> Offsets:
    """How deep in objects and arrays each string lies."""
    if _is_flat(text):
        return np.ones(len(opens), np.int64)
    brackets, depth = _brackets(text, opens, closes)
    of_strings: Offsets = depth[np.searchsorted(brackets, opens) - 1]
    return of_strings


def _is_flat(text: Lines) -> bool:
    return text.data.count(b"{") == len(text) and b"[" not in text.data


def _brackets(text: Lines, opens: Offsets, closes: Offsets) -> tuple[Offsets, Offsets]:
    """The brackets that lie in lines and in no string, and how deep it is behind each."""
    numbers = text.codes
    brackets = np.flatnonzero(np.isin(numbers, _OPENING + _CLOSING))
    string = np.searchsorted(opens, brackets, side="right") - 1
    in_string = (string >= 0) & (brackets < closes[np.maximum(string, 0)]) if len(opens) else np.zeros(len(brackets), np.bool_)
    line = np.searchsorted(text.ends, brackets, side="right")
    outside = line >= len(text)
    outside[~outside] = text.starts[line[~outside]] > brackets[~outside]
    brackets = brackets[~in_string & ~outside]
    return brackets, np.cumsum(np.where(np.isin(numbers[brackets], _OPENING), 1, -1))


def _depths(text: Lines) -> Offsets:
    """How deep the outermost object of each line nests others; the lines are valid JSON objects."""
    deepest = np.ones(len(text), np.int64)
    if not _is_flat(text):
        brackets, depth = _brackets(text, *_strings(text))
        np.maximum.at(deepest, np.searchsorted(text.ends, brackets, side="right"), depth)
    return deepest


def _object_ends(text: Lines) -> Offsets:
    """Where the closing brace of each line's object stands."""
    return _back_over(text.codes, text.ends, _BLANKS) - 1


def _after_blanks(numbers: np.ndarray, at: Offsets) -> Offsets:  # type: ignore[type-arg]
    at = at.copy()
    blank = np.flatnonzero(_BLANKS[numbers[at]])
    for _ in range(_FEW if len(blank) else 0):
        at[blank] += 1
        blank = blank[_BLANKS[numbers[at[blank]]]]
    if len(blank):
        others = np.flatnonzero(~_BLANKS[numbers])
        at[blank] = others[np.searchsorted(others, at[blank])]
    return at


def _before_blanks(numbers: np.ndarray, at: Offsets) -> Offsets:  # type: ignore[type-arg]
    """The end of what stands before a place, without blanks and the comma between."""
    gap = _BLANKS.copy()
    gap[_COMMA] = True
    return _back_over(numbers, at, gap)


def _back_over(numbers: np.ndarray, at: Offsets, gap: Mask) -> Offsets:  # type: ignore[type-arg]
    """Each place moved back to the end of what is no gap; there is such before each."""
    at = at.copy()
    left = np.flatnonzero(gap[numbers[at - 1]])
    for _ in range(_FEW if len(left) else 0):
        at[left] -= 1
        left = left[gap[numbers[at[left] - 1]]]
    if len(left):
        others = np.flatnonzero(~gap[numbers])
        at[left] = others[np.searchsorted(others, at[left]) - 1] + 1
    return at


# --- what is in them --------------------------------------------------------------------------------------------------


def _named(text: Lines, members: Members, name: str) -> Offsets:
    """Which members have a name."""
    key = json.dumps(name, ensure_ascii=False).encode()
    rows = np.flatnonzero(members.key_end - members.key_start == len(key))
    for index, code in enumerate(key):
        rows = rows[text.codes[members.key_start[rows] + index] == code]
    return rows


def names_in(lines: Lines, encoding: str) -> tuple[str, ...]:
    """The names of all members that the valid ones among some lines have, in order of name."""
    text = screened(lines, encoding).text
    text = text.only(_objects(text))
    members = members_of(text)
    keys = {text.data[start:end] for start, end in zip(members.key_start.tolist(), members.key_end.tolist(), strict=True)}
    return tuple(sorted(str(json.loads(key)) for key in keys))


def _cells(text: Lines, members: Members) -> tuple[Offsets, Offsets, Mask]:
    """Where the values of one name are, line by line, and which are strings.

    The place is empty where a line has none, or it is null or an empty string.
    """
    start, end = members.value_start, members.value_end
    is_string = text.codes[start] == _QUOTE
    is_null = (text.codes[start] == ord("n")) & (end - start == 4)
    starts, ends, strings = text.starts.copy(), text.starts.copy(), np.zeros(len(text), np.bool_)
    starts[members.line] = start + is_string
    ends[members.line] = np.where(is_null, start, end - is_string)
    strings[members.line] = is_string
    return starts, ends, strings


def _unescaped(texts: pl.Series, is_string: Mask) -> pl.Series:
    rows = (texts.str.contains("\\", literal=True).fill_null(False) & pl.Series(is_string)).arg_true()
    if not len(rows):
        return texts
    quoted = pl.select(pl.concat_str(pl.lit('"'), texts.gather(rows), pl.lit('"'))).to_series()
    return texts.scatter(rows, quoted.str.json_decode(pl.String))


def _objects_of(text: Lines, members: Members) -> pl.Series:
    """The members of each line as they are written, as a JSON object of their own; NULL where there are none."""
    if not len(members.line):
        return _none(len(text))
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


def _none(size: int) -> pl.Series:
    return pl.repeat(None, size, dtype=pl.String, eager=True)
