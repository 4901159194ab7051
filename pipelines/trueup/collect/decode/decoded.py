"""Decoded records of a unit: their fields, their provenance, and the records that a reader rejects."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from trueup.collect.decode.text.encoding import in_utf8, undecodable, with_nul
from trueup.collect.decode.text.lines import Lines, Mask, Offsets
from trueup.events.reasons import Reason
from trueup.events.schema import READABLE
from trueup.frames import joined_texts

REJECTED: dict[str, pl.DataType] = {
    "source_row": pl.Int64(),
    "source_offset": pl.Int64(),
    "source_length": pl.Int64(),
    "raw": pl.Binary(),
    "reason": pl.String(),
    "rule": pl.String(),
    **READABLE,
}
"""Columns of rejected records, before the unit is added. A reader fills the columns up to `rule`, the mapping fills the rest."""

PROVENANCE: dict[str, pl.DataType] = {name: REJECTED[name] for name in ("source_row", "source_offset", "source_length")}
"""Columns of a record's provenance: its number, byte offset and length in its unit."""


Raw = Callable[[Sequence[int]], list[bytes]]
"""Returns the bytes of records by their index in a batch."""


@dataclass(frozen=True)
class Batch:
    """Decoded records of a unit.

    `fields` has one column for each source column that the mapping reads (text, or the file's own time type). `attributes` has, per
    record, a JSON object of the source columns that have no event column; NULL where there are none. `provenance` has one row
    (`PROVENANCE`) per record. `rejected` (`REJECTED`) has the unreadable records; every record is in `fields` or in `rejected`.
    `typed` marks, by source column, the values that the file itself types as numbers; these are plain decimals in any notation.
    `left_out` has the numbers of records of another record type; they are in neither frame.
    """

    fields: pl.DataFrame
    attributes: pl.Series
    provenance: pl.DataFrame
    raw: Raw
    rejected: pl.DataFrame
    typed: Mapping[str, Mask] = field(default_factory=dict)
    left_out: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.Int64))

    def only(self, selection: Mask) -> Batch:
        """Return the selected records, and all rejected ones."""
        if selection.all():
            return self
        chosen, raw, at = pl.Series(selection), self.raw, np.flatnonzero(selection)
        return replace(
            self, fields=self.fields.filter(chosen), attributes=self.attributes.filter(chosen),
            provenance=self.provenance.filter(chosen), raw=lambda selected: raw(at[list(selected)].tolist()),
            typed={name: mask[selection] for name, mask in self.typed.items()},
        )  # fmt: skip

    def with_rejected(self, more: Sequence[pl.DataFrame]) -> Batch:
        """Return the same records, with further rejected records."""
        return replace(self, rejected=concat_rejected([*more, self.rejected])) if more else self


class Piece(Protocol):
    """Consecutive records of a unit that are not decoded yet."""

    @property
    def first_row(self) -> int:
        """Number of the piece's first record in the unit."""

    @property
    def held_bytes(self) -> Offsets:
        """Bytes of each record that are in memory."""

    def __len__(self) -> int:
        """Return the number of records."""

    def only(self, selection: slice, /) -> Piece:
        """Return the selected records."""


class Reader(Protocol):
    """A format: cuts a unit into pieces and decodes a piece. Decoding is pure, so pieces may be decoded in parallel."""

    declared_records: int | None
    """Number of records that the unit itself declares."""

    declared_sums: Mapping[str, str]
    """Sums that the unit itself declares, by event column, in the unit's notation."""

    def columns(self) -> Sequence[str]:
        """Return the source columns."""

    def pieces(self) -> Iterator[Any]:
        """Yield the unit's records in pieces, in order; raise `SourceError` where it cannot be read."""

    def read(self, piece: Any, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode the mapped columns of a piece; with `attributes`, add the other columns and those in `kept` as attributes."""

    def at(self, row: int, offset: int, length: int | None) -> Any:
        """Return the record at this provenance; raise `SourceError` where the unit ends before it."""


def provenance_of(lines: Lines) -> pl.DataFrame:
    """Return the provenance of lines in the decompressed stream."""
    columns = {"source_row": lines.rows, "source_offset": lines.starts + lines.offset, "source_length": lines.lengths}
    return pl.DataFrame(columns, schema=PROVENANCE)


def raw_of(lines: Lines) -> Raw:
    """Return a function that returns the bytes of lines by index."""
    return lambda selection: [lines.raw(index) for index in selection]


def reject(lines: Lines, bad: Mask, reason: Reason, rule: str) -> pl.DataFrame:
    """Return the lines that a rule refuses, as rows of `REJECTED`."""
    refused = lines.only(bad)
    return provenance_of(refused).with_columns(
        raw=pl.Series(raw_of(refused)(range(len(refused))), dtype=pl.Binary), reason=pl.lit(reason), rule=pl.lit(rule)
    )


def within_limit(lines: Lines, record_bytes: int) -> tuple[Lines, list[pl.DataFrame]]:
    """Return the lines within the length limit, and the longer lines as rows of `REJECTED`."""
    too_long = lines.lengths > record_bytes
    if not too_long.any():
        return lines, []
    rule = f"line: has at most {record_bytes} bytes (record_bytes in [limits])"
    return lines.only(~too_long), [reject(lines, too_long, "over_limit", rule)]


def concat_rejected(rejected: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return all rejected records in the order of their unit."""
    some = [frame for frame in rejected if frame.height]
    none = pl.DataFrame(schema=REJECTED)
    return pl.concat([none, *some], how="diagonal").sort("source_row") if some else none


@dataclass(frozen=True)
class ScreenedLines:
    """Decodable lines in two forms and the same order: in the unit's encoding (`lines`) and in UTF-8 (`text`)."""

    lines: Lines
    text: Lines
    rejected: list[pl.DataFrame]

    def only(self, selection: Mask) -> ScreenedLines:
        """Return the selected lines, without the rejected records."""
        return ScreenedLines(self.lines.only(selection), self.text.only(selection), [])

    def without(self, bad: Mask, reason: Reason, rule: str) -> ScreenedLines:
        """Move the lines that a rule refuses to the rejected records."""
        if not bad.any():
            return self
        return replace(self.only(~bad), rejected=[*self.rejected, reject(self.lines, bad, reason, rule)])


def screen_lines(lines: Lines, encoding: str) -> ScreenedLines:
    """Reject the lines that are not text in their encoding."""
    bad = undecodable(lines, encoding)
    rejected = [reject(lines, bad, "bad_encoding", f"line: is {encoding}")] if bad.any() else []
    good = lines.only(~bad) if rejected else lines
    nul = with_nul(good)
    if nul.any():
        rejected.append(reject(good, nul, "unparsable", "line: has no NUL byte"))
        good = good.only(~nul)
    return ScreenedLines(good, in_utf8(good, encoding), rejected)


def line_series(text: Lines) -> pl.Series:
    """Return lines as binary values that share the block's memory; each may extend beyond its line's end, up to the next line."""
    offsets = np.append(text.starts, len(text.data))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text.data)]
    return pl.Series("line", pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(text), buffers))


_MANY_COLUMNS = 256
"""Number of columns beyond which building an expression for each costs more than computing the values row by row."""


def _decode_cells(text: Lines, name: str, starts: Offsets, ends: Offsets) -> pl.Series:
    cells = zip(starts.tolist(), ends.tolist(), strict=True)
    return pl.Series(name, [text.data[start:end].decode() or None for start, end in cells], dtype=pl.String)


def slice_cells(text: Lines, cells: Mapping[str, tuple[Offsets, Offsets]]) -> pl.DataFrame:
    """Cut texts out of lines; `cells` has, by name, starts and ends in the block of one cell per line.

    An empty cell is NULL, and so is a cell whose end lies before its start.
    """
    if len(cells) > max(len(text), _MANY_COLUMNS):
        return pl.DataFrame([_decode_cells(text, name, *ends) for name, ends in cells.items()])
    positions = {f"{kind}{number}": at for number, pair in enumerate(cells.values()) for kind, at in zip("se", pair, strict=True)}
    frame = pl.DataFrame({"line": line_series(text), "start": text.starts, **positions})
    texts = []
    for number, (name, (starts, ends)) in enumerate(cells.items()):
        start, end = pl.col(f"s{number}"), pl.col(f"e{number}")
        text_of_cell = pl.col("line").bin.slice(start - pl.col("start"), end - start).cast(pl.String)
        texts.append((pl.when(end > start).then(text_of_cell) if (ends <= starts).any() else text_of_cell).alias(name))
    return frame.select(texts)


def _build_json_objects(fields: pl.DataFrame) -> pl.Series:
    """Return the same objects as `json_objects`, but build them row by row."""
    names = fields.columns
    objects = ({n: v for n, v in zip(names, row, strict=True) if v is not None} for row in fields.iter_rows())
    texts = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) if one else None for one in objects]
    return pl.Series("attributes", texts, dtype=pl.String)


def attribute_name_bytes(names: Sequence[str]) -> int:
    """Return the largest number of bytes that the names of columns take in the attributes of one record."""
    return sum(len(json.dumps(name, ensure_ascii=False).encode()) + 4 for name in names)


_QUOTE = pl.lit('"')


def _is_plain(values: pl.Series) -> bool:
    """Return whether a column has only texts without NULL, in which JSON escapes no character."""
    if values.dtype != pl.String or values.null_count():
        return False
    codes = np.frombuffer(joined_texts(values).encode(), np.uint8)
    return not ((codes < 32) | (codes > 126) | (codes == ord('"')) | (codes == ord("\\"))).any()


def json_objects(fields: pl.DataFrame, *, height: int) -> pl.Series:
    """Return each of `height` rows as a JSON object of its values that are not NULL; NULL for a row without values."""
    if not fields.width:
        return pl.repeat(None, height, dtype=pl.String, eager=True)
    if fields.width > max(height, _MANY_COLUMNS) and all(dtype == pl.String for dtype in fields.dtypes):
        return _build_json_objects(fields)
    if all(_is_plain(values) for values in fields):
        starts = [f'{"," if number else "{"}{json.dumps(name, ensure_ascii=False)}:"' for number, name in enumerate(fields.columns)]
        parts = [part for start, name in zip(starts, fields.columns, strict=True) for part in (pl.lit(start), pl.col(name), _QUOTE)]
        return fields.select(attributes=pl.concat_str(*parts, pl.lit("}"))).to_series()
    members = [
        pl.lit(f"{json.dumps(name, ensure_ascii=False)}:")
        + pl.struct(pl.col(name).alias("v")).struct.json_encode().str.slice(5).str.strip_suffix("}")
        for name in fields.columns
    ]
    guarded = [pl.when(pl.col(name).is_not_null()).then(member) for name, member in zip(fields.columns, members, strict=True)]
    inner = pl.concat_str(guarded, separator=",", ignore_nulls=True)
    return fields.select(pl.when(inner != "").then(pl.concat_str(pl.lit("{"), inner, pl.lit("}")))).to_series().alias("attributes")
