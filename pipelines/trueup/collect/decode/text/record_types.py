"""Record types: separates the lines of one type from the other lines of a file, before lines are cut into fields."""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import slice_cells
from trueup.collect.decode.text.csv import Dialect, parse_strictly
from trueup.collect.decode.text.encoding import in_utf8, undecodable
from trueup.collect.decode.text.lines import Lines, Mask
from trueup.config import RecordTypeConfig


def of_type(lines: Lines, record_type: RecordTypeConfig | None, dialect: Dialect) -> tuple[Lines, pl.Series]:
    """Return the lines of the source's record type, and the numbers of the other lines.

    The type of a line that is not text in its encoding is unknown; the line is kept, so that the decoder rejects it.
    """
    if record_type is None:
        return lines, pl.Series(dtype=pl.Int64)
    is_text = ~undecodable(lines, dialect.encoding)
    is_wanted = ~is_text
    is_wanted[is_text] = _is_of_type(in_utf8(lines.only(is_text), dialect.encoding), record_type, dialect)
    return lines.only(is_wanted), pl.Series(lines.rows[~is_wanted], dtype=pl.Int64)


def _is_of_type(text: Lines, record_type: RecordTypeConfig, dialect: Dialect) -> Mask:
    line = slice_cells(text, {"line": (text.starts, text.ends)})["line"]
    if record_type.start is not None and record_type.length is not None:
        types = line.str.slice(record_type.start - 1, record_type.length)
    else:
        types = _cut_field(line, record_type.field or 1, dialect)
    wanted: Mask = types.str.strip_chars().is_in(record_type.values).fill_null(False).to_numpy()
    return wanted.astype(np.bool_)


def _cut_field(line: pl.Series, number: int, dialect: Dialect) -> pl.Series:
    """Return one field of each line, by number from 1; NULL for a line that is shorter, or whose quotes do not pair."""
    fields = line.str.splitn(dialect.delimiter, number + 1).struct.field(f"field_{number - 1}")
    quoted = line.str.contains(dialect.quote, literal=True).fill_null(False).arg_true()
    if not len(quoted):
        return fields
    parsed = [parse_strictly(text.encode(), dialect) for text in line.gather(quoted)]
    exact = [None if cells is None or len(cells) < number else cells[number - 1] for cells in parsed]
    return fields.scatter(quoted, pl.Series(exact, dtype=pl.String))
