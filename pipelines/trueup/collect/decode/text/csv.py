"""CSV: finds fields by their separators, line by line, so that a damaged line affects no other line."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import (
    Batch,
    Raw,
    ScreenedLines,
    concat_rejected,
    json_objects,
    provenance_of,
    raw_of,
    screen_lines,
    slice_cells,
)
from trueup.collect.decode.text.lines import Lines, Mask, Offsets
from trueup.errors import SourceError

# Lines have their own limit (`record_bytes`); the csv module's limit would report a long field as badly quoted.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Dialect:
    """Characters that separate and quote fields, and the encoding of the lines."""

    delimiter: str
    quote: str
    encoding: str


def header_of(line: Lines, dialect: Dialect, *, where: str) -> tuple[str, ...]:
    """Return the unique names in a header line. Raise `SourceError` where the line is unreadable."""
    text = screen_lines(line, dialect.encoding).text
    cells = parse_strictly(text.raw(0), dialect) if len(text) else None
    if cells is None:
        raise SourceError("the header line cannot be read", where=where, todo="check delimiter, quote and encoding of its source")
    return unique_names([cell.strip() for cell in cells])


def unique_names(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names of columns; repeated names get a number."""
    seen, names = Counter[str](), dict[str, None]()
    for name in cells:
        seen[name] += 1
        unique = name if seen[name] == 1 else f"{name}.{seen[name]}"
        while unique in names:
            seen[name] += 1
            unique = f"{name}.{seen[name]}"
        names[unique] = None
    return tuple(names)


def usual_width(lines: Lines, dialect: Dialect) -> int:
    """Return the most frequent number of fields per line; 0 without lines."""
    text = screen_lines(lines, dialect.encoding).text
    text = text.only(~_mark_odd_quotes(text, dialect))
    counts = Counter((_find_separators(text, dialect)[1] + 1).tolist())
    return counts.most_common(1)[0][0] if counts else 0


def read_csv(
    lines: Lines, dialect: Dialect, names: Sequence[str], mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()
) -> Batch:
    """Cut lines into the fields `names`; reject lines with another number of fields or with unpaired quotes.

    The `mapped` fields become text columns; the others and those in `kept` become attributes if requested. An empty field is NULL.
    """
    screened = screen_lines(lines, dialect.encoding)
    odd = _mark_odd_quotes(screened.text, dialect)
    requested = tuple(names) if attributes else tuple(mapped)
    fields, plain = _split_plain_fields(
        replace(screened.only(~odd), rejected=screened.rejected) if odd.any() else screened, dialect, names, requested
    )
    provenance, raw, rejected = provenance_of(plain.lines), raw_of(plain.lines), plain.rejected
    if odd.any():
        odd_fields, strict = _split_strict_fields(screened.only(odd), dialect, names, requested)
        fields, provenance = pl.concat([fields, odd_fields]), pl.concat([provenance, provenance_of(strict.lines)])
        raw, rejected = _chain_raw(plain.lines, strict.lines), [*rejected, *strict.rejected]
    others = [name for name in names if name not in set(mapped).difference(kept)] if attributes else []
    attribute_texts = json_objects(fields.select(others), height=fields.height)
    return Batch(fields.select(mapped), attribute_texts, provenance, raw, concat_rejected(rejected))


def _chain_raw(first: Lines, then: Lines) -> Raw:
    return lambda requested: [first.raw(i) if i < len(first) else then.raw(i - len(first)) for i in requested]


# --- lines without quotes, or with well-formed quotes ------------------------------------------------------------------


def _mark_odd_quotes(text: Lines, dialect: Dialect) -> Mask:
    """Return which lines break the rule of RFC 4180 that quotes enclose whole fields and are doubled inside them."""
    odd = np.zeros(len(text), np.bool_)
    quotes, line = _find_positions(text, dialect.quote)
    if not len(quotes):
        return odd
    numbers, quote, separator = text.codes, ord(dialect.quote), ord(dialect.delimiter)
    first_of_line = np.searchsorted(line, line, side="left")
    is_opening = (np.arange(len(quotes)) - first_of_line) % 2 == 0
    before = np.where(quotes > text.starts[line], numbers[quotes - 1], separator)
    after = np.where(quotes + 1 < text.ends[line], numbers[np.minimum(quotes + 1, len(numbers) - 1)], separator)
    neighbour = np.where(is_opening, before, after)
    odd[line[(neighbour != separator) & (neighbour != quote)]] = True
    odd[np.bincount(line, minlength=len(text)) % 2 == 1] = True
    return odd


def _find_positions(text: Lines, character: str) -> tuple[Offsets, Offsets]:
    """Return the positions of a character in lines, and the line of each."""
    code = ord(character)
    at = np.flatnonzero(text.codes == code) if bytes([code]) in text.data else np.zeros(0, np.int64)
    line = np.searchsorted(text.ends, at, side="right")
    inside = line < len(text)
    inside[inside] = text.starts[line[inside]] <= at[inside]
    return at[inside], line[inside]


def _find_separators(text: Lines, dialect: Dialect) -> tuple[Offsets, Offsets]:
    """Return positions of separators outside quotes, and their number in each line. Quotes must pair in every line."""
    at = np.flatnonzero(text.codes == ord(dialect.delimiter))
    quotes, _ = _find_positions(text, dialect.quote)
    if len(quotes):
        at = at[np.searchsorted(quotes, at) % 2 == 0]
    first, last = np.searchsorted(at, text.starts), np.searchsorted(at, text.ends)
    counts = last - first
    if counts.sum() != len(at):
        # Separators of rejected lines are still in the block.
        at = at[_concat_ranges(first, counts)]
    return at, counts


def _concat_ranges(first: Offsets, counts: Offsets) -> Offsets:
    """Return the numbers first[i] … first[i] + counts[i] - 1 of each i, concatenated."""
    shifted: Offsets = np.repeat(first - (np.cumsum(counts) - counts), counts)
    return np.arange(counts.sum()) + shifted


def _split_plain_fields(
    screened: ScreenedLines, dialect: Dialect, names: Sequence[str], requested: Sequence[str]
) -> tuple[pl.DataFrame, ScreenedLines]:
    at, counts = _find_separators(screened.text, dialect)
    inner = len(names) - 1
    wrong = counts != inner
    if wrong.any():
        at = at[np.repeat(~wrong, counts)]
        screened = screened.without(wrong, "wrong_field_count", f"line: has {len(names)} fields")
    text = screened.text
    grid = at.reshape(len(text), inner)
    numbers, quote, is_quoted = text.codes, ord(dialect.quote), dialect.quote.encode() in text.data
    cells, chosen = {}, set(requested)
    for index, name in enumerate(names):
        if name in chosen:
            start = text.starts if index == 0 else grid[:, index - 1] + 1
            end = text.ends if index == inner else np.ascontiguousarray(grid[:, index])
            if is_quoted:
                # An empty last cell may begin at the end of the block.
                quoted = (end > start) & (numbers[np.minimum(start, len(numbers) - 1)] == quote)
                start, end = start + quoted, end - quoted
            cells[name] = start, end
    fields = slice_cells(text, cells)
    if is_quoted and 2 * dialect.quote.encode() in text.data:
        fields = fields.with_columns(pl.all().str.replace_all(2 * dialect.quote, dialect.quote, literal=True))
    return fields, screened


# --- lines with odd quotes, one by one ---------------------------------------------------------------------------------


def _split_strict_fields(
    screened: ScreenedLines, dialect: Dialect, names: Sequence[str], requested: Sequence[str]
) -> tuple[pl.DataFrame, ScreenedLines]:
    rows = [parse_strictly(screened.text.raw(index), dialect) for index in range(len(screened.text))]
    unpaired = np.array([row is None for row in rows])
    wrong = np.array([row is not None and len(row) != len(names) for row in rows])
    good = [row for row in rows if row is not None and len(row) == len(names)]
    chosen = set(requested)
    fields = {
        name: pl.Series([row[index] or None for row in good], dtype=pl.String) for index, name in enumerate(names) if name in chosen
    }
    screened = screened.without(unpaired, "unparsable", "line: quotes pair")
    screened = screened.without(wrong[~unpaired], "wrong_field_count", f"line: has {len(names)} fields")
    return pl.DataFrame(fields), screened


def parse_strictly(line: bytes, dialect: Dialect) -> list[str] | None:
    """Return the fields of one line; None where a quoted field is not closed. Quotes inside a field are part of its text."""
    reader = csv.reader([line.decode()], delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True)
    try:
        return next(reader)
    except (csv.Error, StopIteration):
        return None
