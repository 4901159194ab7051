"""What a reader makes of some records of a unit: their fields, their places, and those it had to reject."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from trueup.collect.decode.encoding import in_utf8, undecodable, with_nul
from trueup.collect.decode.lines import Lines, Mask, Offsets
from trueup.collect.reasons import Reason

REJECTED: dict[str, pl.DataType] = {
    "source_row": pl.Int64(),
    "source_offset": pl.Int64(),
    "source_length": pl.Int64(),
    "raw": pl.Binary(),
    "reason": pl.String(),
    "rule": pl.String(),
}
"""Columns of rejected records, before they are given their unit."""

PLACE: dict[str, pl.DataType] = {name: REJECTED[name] for name in ("source_row", "source_offset", "source_length")}
"""Where a record lies in its unit."""


Raw = Callable[[Sequence[int]], list[bytes]]
"""Gives the bytes of records by their index in a batch."""


@dataclass(frozen=True)
class Batch:
    """Some records of a unit.

    `fields` has one column for each source column that is mapped (text, or a time type of the file's own), `attributes` the
    others as a JSON object each (NULL: nothing to keep), `places` the columns of `PLACE`, row by row. `rejected` (columns of
    `REJECTED`) holds the records that could not be read: every record is in `fields` or in `rejected`.
    """

    fields: pl.DataFrame
    attributes: pl.Series
    places: pl.DataFrame
    raw: Raw
    rejected: pl.DataFrame

    def with_rejected(self, more: Sequence[pl.DataFrame]) -> Batch:
        """The same records, with more that were rejected before they were read."""
        return replace(self, rejected=joined([*more, self.rejected])) if more else self


class Piece(Protocol):
    """A run of consecutive records of a unit, not yet read."""

    @property
    def first_row(self) -> int:
        """The number of its first record in the unit."""

    @property
    def held_bytes(self) -> Offsets:
        """How many bytes of each record are held in memory."""

    def __len__(self) -> int:
        """How many records it has."""

    def only(self, wanted: slice, /) -> Piece:
        """Some of its records."""


class Reader(Protocol):
    """A format: cuts a unit into pieces and reads a piece. Reading is pure, so that pieces may be read side by side."""

    declared_records: int | None
    """What the unit itself says it holds."""

    def columns(self) -> Sequence[str]:
        """The source columns there are."""

    def pieces(self) -> Iterator[Any]:
        """The unit's records from the first, in order, in pieces; raises `SourceError` where it cannot be read."""

    def read(self, piece: Any, mapped: Sequence[str], *, attributes: bool) -> Batch:
        """Reads a piece: the mapped columns, and the others as attributes if wanted."""

    def at(self, row: int, offset: int, length: int | None) -> Any:
        """The piece of the one record that lies at a place; raises `SourceError` where the unit does not reach that far."""


def places_of(lines: Lines) -> pl.DataFrame:
    """Where lines lie in the decompressed stream."""
    columns = {"source_row": lines.rows, "source_offset": lines.starts + lines.offset, "source_length": lines.lengths}
    return pl.DataFrame(columns, schema=PLACE)


def raw_of(lines: Lines) -> Raw:
    """The bytes of lines."""
    return lambda wanted: [lines.raw(index) for index in wanted]


def reject(lines: Lines, bad: Mask, reason: Reason, rule: str) -> pl.DataFrame:
    """The lines that a rule refuses, as rows of `REJECTED`."""
    refused = lines.only(bad)
    return places_of(refused).with_columns(
        raw=pl.Series(raw_of(refused)(range(len(refused))), dtype=pl.Binary), reason=pl.lit(reason), rule=pl.lit(rule)
    )


def within_limit(lines: Lines, record_bytes: int) -> tuple[Lines, list[pl.DataFrame]]:
    """The lines that are not too long, and the others as rows of `REJECTED`."""
    too_long = lines.lengths > record_bytes
    if not too_long.any():
        return lines, []
    rule = f"line: has at most {record_bytes} bytes (record_bytes in [limits])"
    return lines.only(~too_long), [reject(lines, too_long, "over_limit", rule)]


def joined(rejected: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rejected records together, in the order of their unit."""
    return pl.concat([pl.DataFrame(schema=REJECTED), *rejected]).sort("source_row")


@dataclass(frozen=True)
class Screened:
    """Lines that are text: as they lie in the unit (`lines`), and in UTF-8 (`text`), one for one."""

    lines: Lines
    text: Lines
    rejected: list[pl.DataFrame]

    def only(self, wanted: Mask) -> Screened:
        """Some of the lines, without those already rejected."""
        return Screened(self.lines.only(wanted), self.text.only(wanted), [])

    def without(self, bad: Mask, reason: Reason, rule: str) -> Screened:
        """Takes out the lines that a rule refuses."""
        if not bad.any():
            return self
        return replace(self.only(~bad), rejected=[*self.rejected, reject(self.lines, bad, reason, rule)])


def screened(lines: Lines, encoding: str) -> Screened:
    """Takes out the lines that are no text in their encoding."""
    bad = undecodable(lines, encoding)
    rejected = [reject(lines, bad, "bad_encoding", f"line: is {encoding}")] if bad.any() else []
    good = lines.only(~bad) if rejected else lines
    nul = with_nul(good)
    if nul.any():
        rejected.append(reject(good, nul, "unparsable", "line: has no NUL byte"))
        good = good.only(~nul)
    return Screened(good, in_utf8(good, encoding), rejected)


def line_series(text: Lines) -> pl.Series:
    """Lines as binary values that share the block's memory; each may reach beyond its line's end, up to the next line."""
    offsets = np.append(text.starts, len(text.data))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text.data)]
    return pl.Series("line", pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(text), buffers))


def sliced(text: Lines, cells: Mapping[str, tuple[Offsets, Offsets]]) -> pl.DataFrame:
    """Texts cut out of lines: by name, the places (starts and ends in the block) of one cell in each line.

    An empty cell, and one whose end lies before its start, is NULL.
    """
    places = {f"{kind}{number}": at for number, pair in enumerate(cells.values()) for kind, at in zip("se", pair, strict=True)}
    frame = pl.DataFrame({"line": line_series(text), "start": text.starts, **places})
    texts = []
    for number, (name, (starts, ends)) in enumerate(cells.items()):
        start, end = pl.col(f"s{number}"), pl.col(f"e{number}")
        text_of_cell = pl.col("line").bin.slice(start - pl.col("start"), end - start).cast(pl.String)
        texts.append((pl.when(end > start).then(text_of_cell) if (ends <= starts).any() else text_of_cell).alias(name))
    return frame.select(texts)


def json_objects(fields: pl.DataFrame, *, height: int) -> pl.Series:
    """Each of `height` rows as a JSON object of its values that are not NULL; NULL for a row without any."""
    if not fields.width:
        return pl.repeat(None, height, dtype=pl.String, eager=True)
    members = [
        pl.lit(f"{json.dumps(name, ensure_ascii=False)}:")
        + pl.struct(pl.col(name).alias("v")).struct.json_encode().str.slice(5).str.strip_suffix("}")
        for name in fields.columns
    ]
    guarded = [pl.when(pl.col(name).is_not_null()).then(member) for name, member in zip(fields.columns, members, strict=True)]
    inner = pl.concat_str(guarded, separator=",", ignore_nulls=True)
    return fields.select(pl.when(inner != "").then(pl.concat_str(pl.lit("{"), inner, pl.lit("}")))).to_series().alias("attributes")
