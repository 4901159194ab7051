"""CSV: fields found by their separators, line by line, so that a damaged line costs nothing but itself."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import Batch, Raw, Screened, joined, json_objects, places_of, raw_of, screened, sliced
from trueup.collect.decode.lines import Lines, Mask, Offsets
from trueup.errors import SourceError

# A line has a limit of its own (`record_bytes`): the one of the csv module would call a long field badly quoted.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Dialect:
    """How lines are cut into fields."""

    delimiter: str
    quote: str
    encoding: str


def header_of(line: Lines, dialect: Dialect, *, where: str) -> tuple[str, ...]:
    """The names in a header line; a name that comes again gets a number. Raises `SourceError` where it cannot be read."""
    text = screened(line, dialect.encoding).text
    cells = _strictly(text.raw(0), dialect) if len(text) else None
    if cells is None:
        raise SourceError("the header line cannot be read", where=where, todo="check delimiter, quote and encoding of its source")
    seen, names = Counter[str](), dict[str, None]()
    for name in (cell.strip() for cell in cells):
        seen[name] += 1
        unique = name if seen[name] == 1 else f"{name}.{seen[name]}"
        while unique in names:
            seen[name] += 1
            unique = f"{name}.{seen[name]}"
        names[unique] = None
    return tuple(names)


def usual_width(lines: Lines, dialect: Dialect) -> int:
    """How many fields most of the lines have; 0 where there is no line."""
    text = screened(lines, dialect.encoding).text
    text = text.only(~_oddly_quoted(text, dialect))
    counts = Counter((_separators(text, dialect)[1] + 1).tolist())
    return counts.most_common(1)[0][0] if counts else 0


def read_csv(lines: Lines, dialect: Dialect, names: Sequence[str], mapped: Sequence[str], *, attributes: bool) -> Batch:
    """Cuts lines into the fields `names`, and takes out those with another number of fields or quotes that do not pair.

    The `mapped` ones become columns of text, the others attributes if wanted; an empty field is NULL.
    """
    kept = screened(lines, dialect.encoding)
    odd = _oddly_quoted(kept.text, dialect)
    wanted = tuple(names) if attributes else tuple(mapped)
    fields, plain = _plain_fields(replace(kept.only(~odd), rejected=kept.rejected) if odd.any() else kept, dialect, names, wanted)
    places, raw, rejected = places_of(plain.lines), raw_of(plain.lines), plain.rejected
    if odd.any():
        more, careful = _careful_fields(kept.only(odd), dialect, names, wanted)
        fields, places = pl.concat([fields, more]), pl.concat([places, places_of(careful.lines)])
        raw, rejected = _one_after_the_other(plain.lines, careful.lines), [*rejected, *careful.rejected]
    others = [name for name in names if name not in set(mapped)] if attributes else []
    rest = json_objects(fields.select(others), height=fields.height)
    return Batch(fields.select(mapped), rest, places, raw, joined(rejected))


def _one_after_the_other(first: Lines, then: Lines) -> Raw:
    return lambda wanted: [first.raw(i) if i < len(first) else then.raw(i - len(first)) for i in wanted]


# --- lines without quotes, or with quotes as they should be ------------------------------------------------------------


def _oddly_quoted(text: Lines, dialect: Dialect) -> Mask:
    """Which lines have quotes elsewhere than around whole fields, doubled inside, as RFC 4180 wants them."""
    odd = np.zeros(len(text), np.bool_)
    quotes, line = _within(text, dialect.quote)
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


def _within(text: Lines, character: str) -> tuple[Offsets, Offsets]:
    """Where a character stands in lines, and in which line each time."""
    code = ord(character)
    at = np.flatnonzero(text.codes == code) if bytes([code]) in text.data else np.zeros(0, np.int64)
    line = np.searchsorted(text.ends, at, side="right")
    inside = line < len(text)
    inside[inside] = text.starts[line[inside]] <= at[inside]
    return at[inside], line[inside]


def _separators(text: Lines, dialect: Dialect) -> tuple[Offsets, Offsets]:
    """Where separators stand outside of quotes, and how many of them each line has. Quotes must pair in every line."""
    at = np.flatnonzero(text.codes == ord(dialect.delimiter))
    quotes, _ = _within(text, dialect.quote)
    if len(quotes):
        at = at[np.searchsorted(quotes, at) % 2 == 0]
    first, last = np.searchsorted(at, text.starts), np.searchsorted(at, text.ends)
    counts = last - first
    if counts.sum() != len(at):
        # Lines that were taken out have separators too.
        at = at[_ranges(first, counts)]
    return at, counts


def _ranges(first: Offsets, counts: Offsets) -> Offsets:
    """The numbers first[i] … first[i] + counts[i] - 1 of each i, one after the other."""
    moved: Offsets = np.repeat(first - (np.cumsum(counts) - counts), counts)
    return np.arange(counts.sum()) + moved


def _plain_fields(kept: Screened, dialect: Dialect, names: Sequence[str], wanted: Sequence[str]) -> tuple[pl.DataFrame, Screened]:
    at, counts = _separators(kept.text, dialect)
    inner = len(names) - 1
    wrong = counts != inner
    if wrong.any():
        at = at[np.repeat(~wrong, counts)]
        kept = kept.without(wrong, "wrong_field_count", f"line: has {len(names)} fields")
    text = kept.text
    grid = at.reshape(len(text), inner)
    numbers, quote, is_quoted = text.codes, ord(dialect.quote), dialect.quote.encode() in text.data
    cells, chosen = {}, set(wanted)
    for index, name in enumerate(names):
        if name in chosen:
            start = text.starts if index == 0 else grid[:, index - 1] + 1
            end = text.ends if index == inner else np.ascontiguousarray(grid[:, index])
            if is_quoted:
                # An empty last cell may begin where the block ends.
                quoted = (end > start) & (numbers[np.minimum(start, len(numbers) - 1)] == quote)
                start, end = start + quoted, end - quoted
            cells[name] = start, end
    fields = sliced(text, cells)
    if is_quoted and 2 * dialect.quote.encode() in text.data:
        fields = fields.with_columns(pl.all().str.replace_all(2 * dialect.quote, dialect.quote, literal=True))
    return fields, kept


# --- the others, one by one -------------------------------------------------------------------------------------------


def _careful_fields(kept: Screened, dialect: Dialect, names: Sequence[str], wanted: Sequence[str]) -> tuple[pl.DataFrame, Screened]:
    rows = [_strictly(kept.text.raw(index), dialect) for index in range(len(kept.text))]
    unpaired = np.array([row is None for row in rows])
    wrong = np.array([row is not None and len(row) != len(names) for row in rows])
    good = [row for row in rows if row is not None and len(row) == len(names)]
    chosen = set(wanted)
    fields = {
        name: pl.Series([row[index] or None for row in good], dtype=pl.String) for index, name in enumerate(names) if name in chosen
    }
    kept = kept.without(unpaired, "unparsable", "line: quotes pair")
    kept = kept.without(wrong[~unpaired], "wrong_field_count", f"line: has {len(names)} fields")
    return pl.DataFrame(fields), kept


def _strictly(line: bytes, dialect: Dialect) -> list[str] | None:
    """The fields of one line; None where a quoted field does not end as it should. Other quotes are part of their field."""
    reader = csv.reader([line.decode()], delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True)
    try:
        return next(reader)
    except (csv.Error, StopIteration):
        return None
