"""Read selected records of a unit again, decoded by the unit's present settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import PROVENANCE, Batch, Reader
from trueup.collect.decode.readers import reader_of
from trueup.collect.discover.units import Unit
from trueup.collect.map.mapping import Mapping


def read_records(unit: Unit, mapping: Mapping, records: pl.DataFrame) -> Iterator[Batch]:
    """Yield the records at some provenances (columns of `PROVENANCE`), each once and with its recorded number.

    Records are found by byte offset, because changed settings, such as lines to skip, may number them differently. A record that
    the present settings do not find is decoded alone. Raises `SourceError` where the unit cannot be read.
    """
    reader, source = reader_of(unit), mapping.source
    requested = mapping.requested_of(reader)
    wanted = records.select(*PROVENANCE).sort("source_offset", "source_row")
    # The offset of a Parquet record is its row group.
    key = ["source_offset", "source_row"] if source.format == "parquet" else ["source_offset"]
    found = [wanted.clear()]
    for piece in reader.pieces():
        batch = reader.read(piece, requested, attributes=source.attributes, kept=mapping.kept)
        chosen = _select_wanted(batch, _select_between(wanted, batch), key)
        if chosen is not None:
            found.append(pl.concat([chosen.provenance, chosen.rejected.select(*PROVENANCE)]))
            yield chosen
        if sum(map(len, found)) == len(wanted):
            return
    for row, offset, length in wanted.join(pl.concat(found), on="source_row", how="anti").iter_rows():
        yield _read_alone(reader, mapping, requested, (row, offset, length))


def _select_between(wanted: pl.DataFrame, batch: Batch) -> pl.DataFrame:
    """Return the rows of `wanted`, which is in order of byte offset, from the first to the last offset of a batch."""
    offsets = pl.concat([batch.provenance["source_offset"], batch.rejected["source_offset"]]).to_numpy()
    if not len(offsets):
        return wanted.clear()
    begin = wanted["source_offset"].search_sorted(int(offsets.min()), side="left")
    end = wanted["source_offset"].search_sorted(int(offsets.max()), side="right")
    return wanted[begin:end]


def _read_alone(reader: Reader, mapping: Mapping, requested: tuple[str, ...], record: tuple[int, int, int | None]) -> Batch:
    piece = reader.at(*record)
    return reader.read(piece, requested, attributes=mapping.source.attributes, kept=mapping.kept)


def _select_wanted(batch: Batch, wanted: pl.DataFrame, key: list[str]) -> Batch | None:
    """Return the wanted records of a batch with their recorded numbers, None without any."""
    numbers = wanted.select(*key, number="source_row")
    decoded, rejected = (
        frame.join(numbers, on=key, how="left", maintain_order="left") for frame in (batch.provenance, batch.rejected)
    )
    is_wanted = decoded["number"].is_not_null().to_numpy() if decoded.height else np.zeros(0, np.bool_)
    refused = rejected.filter(pl.col("number").is_not_null())
    if not is_wanted.any() and refused.is_empty():
        return None
    chosen = batch.only(is_wanted)
    provenance = decoded.filter(pl.Series(is_wanted, dtype=pl.Boolean)).with_columns(source_row="number").drop("number")
    # A record of another type is not among these records; the caller decodes it alone, with its recorded number.
    none = chosen.left_out.clear()
    return replace(chosen, provenance=provenance, rejected=refused.with_columns(source_row="number").drop("number"), left_out=none)
