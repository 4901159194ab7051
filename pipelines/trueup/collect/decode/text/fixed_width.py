"""Fixed width: cuts each line at declared positions of characters, or of bytes of its encoding."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import (
    Batch,
    ScreenedLines,
    concat_rejected,
    json_objects,
    provenance_of,
    raw_of,
    screen_lines,
    slice_cells,
)
from trueup.collect.decode.text.lines import Lines, Mask
from trueup.config import FixedConfig, SourceConfig

_SCRIPTS = "é€ЖΩあ中한"
"""Characters of several scripts: if one of them takes several bytes in an encoding, characters have different widths there."""


def read_fixed(lines: Lines, source: SourceConfig, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
    """Cut lines into the fields of `[source.fixed]`; reject lines of another length, or whose fields cut a character.

    The `mapped` fields become text columns; the others and those in `kept` become attributes if requested. Padding blanks are
    removed from fields unless the source sets `trim = false`; a field of blanks alone is NULL.
    """
    fixed = _find_fixed(source)
    names = tuple(fixed.spans) if attributes else tuple(mapped)
    screened = screen_lines(lines, source.encoding)
    if fixed.count == "bytes" and not screened.text.data.isascii() and _has_wide_characters(source.encoding):
        fields, screened = _cut_by_bytes(screened, source, names)
    else:
        fields, screened = _cut_by_characters(screened, fixed, names)
    fields = fields.select(_strip_padding(fields[name], trim=source.trim) for name in names)
    others = [name for name in names if name not in set(mapped).difference(kept)] if attributes else []
    attribute_texts = json_objects(fields.select(others), height=len(screened.lines))
    return Batch(
        fields.select(mapped), attribute_texts, provenance_of(screened.lines), raw_of(screened.lines),
        concat_rejected(screened.rejected),
    )  # fmt: skip


def _find_fixed(source: SourceConfig) -> FixedConfig:
    assert source.fixed is not None
    return source.fixed


def _strip_padding(texts: pl.Series, *, trim: bool) -> pl.Series:
    stripped = texts.str.strip_chars(" ")
    return (stripped if trim else texts).set((stripped == "").fill_null(False), None)


def _screen_lengths(screened: ScreenedLines, lengths: np.ndarray, fixed: FixedConfig) -> ScreenedLines:  # type: ignore[type-arg]
    length, unit = fixed.line_length, fixed.count
    if fixed.stripped:
        return screened.without(lengths > length, "unparsable", f"line: has at most {length} {unit}")
    return screened.without(lengths != length, "unparsable", f"line: has {length} {unit}")


def _cut_by_characters(screened: ScreenedLines, fixed: FixedConfig, names: Sequence[str]) -> tuple[pl.DataFrame, ScreenedLines]:
    """Cut lines at positions of characters."""
    if screened.text.data.isascii():
        screened = _screen_lengths(screened, screened.lines.lengths, fixed)
        text, cells = screened.text, {}
        for name in names:
            start, length = fixed.spans[name]
            begins = np.minimum(text.starts + start, text.ends)
            cells[name] = (begins, np.minimum(begins + length, text.ends))
        return slice_cells(text, cells) if cells else pl.DataFrame(), screened
    whole = {"line": (screened.text.starts, screened.text.ends)}
    lengths = slice_cells(screened.text, whole)["line"].str.len_chars().fill_null(0).to_numpy()
    screened = _screen_lengths(screened, lengths, fixed)
    line = slice_cells(screened.text, {"line": (screened.text.starts, screened.text.ends)})["line"]
    return pl.DataFrame([line.str.slice(*fixed.spans[name]).alias(name) for name in names]), screened


def _cut_by_bytes(screened: ScreenedLines, source: SourceConfig, names: Sequence[str]) -> tuple[pl.DataFrame, ScreenedLines]:
    """Cut lines at positions of bytes, in an encoding of several bytes per character."""
    fixed = _find_fixed(source)
    screened = _screen_lengths(screened, screened.lines.lengths, fixed)
    rows = [_decode_line(screened.lines.raw(index), source, names) for index in range(len(screened.lines))]
    is_cut: Mask = np.array([row is None for row in rows], np.bool_)
    screened = screened.without(is_cut, "bad_encoding", f"line: no field begins or ends within a character of {source.encoding}")
    good = [row for row in rows if row is not None]
    columns = [pl.Series(name, [row[index] for row in good], dtype=pl.String) for index, name in enumerate(names)]
    return pl.DataFrame(columns), screened


def _decode_line(line: bytes, source: SourceConfig, names: Sequence[str]) -> list[str] | None:
    """Return the fields of one line; None where a field begins or ends within a character."""
    spans = _find_fixed(source).spans
    try:
        return [line[start : start + length].decode(source.encoding) for start, length in (spans[name] for name in names)]
    except UnicodeDecodeError:
        return None


def _has_wide_characters(encoding: str) -> bool:
    """Return whether an encoding has characters of several bytes."""
    return any(len(character.encode(encoding, "ignore")) > 1 for character in _SCRIPTS)
