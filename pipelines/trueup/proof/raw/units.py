"""Units: compares every remapped record of a unit, column by column, with the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from trueup.collect.commit.commit_part import new_events, time_extent
from trueup.collect.commit.cross_row_checks import CHECKS
from trueup.collect.commit.earlier_form import earlier_form
from trueup.collect.decode.decoded import REJECTED
from trueup.collect.decode.readers import reader_of
from trueup.collect.decode.reread import read_raw_records
from trueup.collect.discover.raw_files import Archive, MissingRawFile, RecordedUnit
from trueup.collect.discover.units import Unit
from trueup.collect.map.declared_sums import declared_micros
from trueup.config.tables.of_source.framing import RECORDS
from trueup.errors import ConfigError, SourceError
from trueup.events.declared_sums import ReadSum, add_sums, read_sums, sums_text
from trueup.events.schema import EVENT
from trueup.proof.evidence import MAX_NAMED_FAULTS, Check, Evidence, FaultCollector, format_value
from trueup.proof.raw.mappings import UnitMapping, UnitMappings
from trueup.proof.raw.remap import RemappedRecords, join_pieces, remap_recycled, remap_unit
from trueup.proof.statements import statement

CHECK = "units"
ROWS_AT_ONCE = 400_000
"""Number of records compared at a time; they take some hundred megabytes."""
_FIRST, _LAST = -(2**63), 2**63 - 1
"""The least and the greatest record number that the log can hold."""
OUTCOMES = ("accepted", "duplicate", "filtered", "quarantined")


@dataclass(frozen=True)
class UnitParts:
    """A unit with the control rows of its parts."""

    recorded: RecordedUnit
    source: str
    stream: str
    parts: tuple[dict[str, Any], ...]

    @property
    def recycles(self) -> str | None:
        """For records that recycling mapped again, the unit that delivered them; None for a file."""
        delivered: str | None = self.parts[0]["recycles"]
        return delivered

    @property
    def records(self) -> int:
        """Number of records that the unit's control rows count."""
        return sum(int(part["records"] or 0) for part in self.parts)

    @property
    def is_complete(self) -> bool:
        """Whether the log has its last part; without it ingestion was interrupted, and resumes after the parts that it has."""
        return any(part["last_part"] for part in self.parts)

    @property
    def taken_at_us(self) -> dict[int, int]:
        """The clock of each part's commit."""
        return {int(part["part_no"]): int(part["taken_at_us"]) for part in self.parts}

    @property
    def part_records(self) -> dict[int, int]:
        """Number of records of each part."""
        return {int(part["part_no"]): int(part["records"] or 0) for part in self.parts}


def read_units(evidence: Evidence) -> list[UnitParts]:
    """Return all units whose control rows have what a search for their files needs, in the order of the log."""
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in evidence.rows("raw/parts"):
        if None not in (row["source_id"], row["path"], row["sha256"], row["bytes"], row["part_no"], row["taken_at_us"]):
            parts.setdefault(row["source_id"], []).append(row)
    return [
        UnitParts(
            RecordedUnit(name, rows[0]["path"], rows[0]["sha256"], rows[0]["bytes"]),
            rows[0]["source"],
            rows[0]["stream"],
            tuple(rows),
        )
        for name, rows in parts.items()
    ]


def open_archive(evidence: Evidence, units: Sequence[UnitParts]) -> Archive:
    """Return the archive in which the raw bytes of these units are searched."""
    return Archive(evidence.lake.project, evidence.archives, frozenset(unit.recorded.sha256 for unit in units))


def check_units(evidence: Evidence) -> Check:
    """Compare every unit's SHA-256 and number of records with the log, remap its records, and compare every column.

    The mapping is the one that the log recorded for the unit, not the present configuration. Memory holds some hundred thousand
    records at a time. A unit whose bytes are not found is unavailable, not tampered.
    """
    units = read_units(evidence)
    comparison = _UnitComparison(evidence, units)
    for batch in _batch_units(units):
        comparison.compare(batch)
    return Check(CHECK, sum(unit.records for unit in units), "record", comparison.found.all(), tuple(comparison.notes))


def _batch_units(units: Sequence[UnitParts]) -> Iterator[list[UnitParts]]:
    """Yield batches of units of one stream that are small enough to compare together; a large unit is a batch of its own."""
    held: dict[str, list[UnitParts]] = {}
    for unit in units:
        batch = held.setdefault(unit.stream, [])
        if batch and sum(u.records for u in batch) + unit.records > ROWS_AT_ONCE:
            yield batch
            held[unit.stream] = batch = []
        batch.append(unit)
    yield from (batch for batch in held.values() if batch)


class _UnitComparison:
    """Comparison of units with their raw bytes, batch by batch."""

    def __init__(self, evidence: Evidence, units: Sequence[UnitParts]) -> None:
        self._evidence, self._connection = evidence, evidence.lake.connection
        self._archive, self._mappings = open_archive(evidence, units), UnitMappings(evidence)
        self.found, self.notes = FaultCollector(CHECK), list[str]()

    def compare(self, units: list[UnitParts]) -> None:
        """Compare units of one stream; their rows are read from the lake together where they fit in memory."""
        is_small = sum(unit.records for unit in units) <= ROWS_AT_ONCE
        stored = self._read_stored(units, _FIRST, _LAST) if is_small else None
        for unit in units:
            try:
                mapping = self._mappings.of(unit.source, unit.parts[0]["mapping"])
                with self._archive.unit(unit.recorded, mapping.mapping.source) as raw:
                    self._compare_unit(unit, raw, mapping, stored)
            except MissingRawFile as error:
                (self.found.tampered if error.changed else self.found.unavailable)(_describe_unit(unit), error.what)
            except ConfigError as error:
                self.found.unavailable(_describe_unit(unit), str(error))
            except SourceError as error:
                self.found.tampered(_describe_unit(unit), f"the bytes cannot be read as a unit of this source: {error}")

    def _compare_unit(
        self, unit: UnitParts, raw: Unit, mapping: UnitMapping, stored: tuple[pl.DataFrame, pl.DataFrame] | None
    ) -> None:
        faults, sums = FaultCollector(CHECK), _Sums(unit)
        last = -1
        for piece in join_pieces(self._map_pieces(unit, raw, mapping, faults), rows=ROWS_AT_ONCE):
            events, rejects = stored or self._read_stored([unit], piece.first_row, piece.last_row)
            of_unit = pl.col("source_id") == unit.recorded.source_id
            comparison = _Comparison(unit, raw, piece, events.filter(of_unit), rejects.filter(of_unit), faults)
            comparison.rejects()
            self._report_missing_events(unit, mapping, comparison.events(), faults)
            sums.add(piece)
            last = piece.last_row
        self._report_rows_outside(unit, last, stored, faults)
        sums.compare(faults)
        if not unit.is_complete:
            detail = f"its last part is not committed; only its first {unit.records} records are compared"
            self.notes.append(f"{_describe_unit(unit)}: {detail}; `trueup ingest` commits the others")
        elif unit.recycles is None:
            _compare_declared(unit, raw, sums.read, faults)
        self._report_faults(unit, mapping, faults)

    def _map_pieces(self, unit: UnitParts, raw: Unit, mapping: UnitMapping, faults: FaultCollector) -> Iterator[RemappedRecords]:
        """Map the records of a unit again: all records of a file, or the recycled records."""
        if unit.recycles is None:
            yield from remap_unit(raw, mapping.mapping, unit.taken_at_us, unit.part_records, is_complete=unit.is_complete)
            return
        records = self._read_recycled(unit, faults)
        yield remap_recycled(raw, mapping.mapping, records, unit.taken_at_us)

    def _read_recycled(self, unit: UnitParts, faults: FaultCollector) -> pl.DataFrame:
        """Return the recycled records; add a fault where their number differs from the control rows."""
        values = {"source_id": unit.recorded.source_id}
        records = self._connection.execute(statement("raw/recycled_records"), values).pl()
        for part in unit.parts:
            of_part = records.filter(pl.col("part_no") == part["part_no"])
            outcomes = {str(name): int(count) for name, count in of_part["outcome"].value_counts().iter_rows()}
            counted = {name: int(part[name] or 0) for name in OUTCOMES if part[name]}
            if outcomes != counted:
                faults.tampered(
                    _describe_unit(unit), f"its control row of part {part['part_no']} counts {counted}, recycling has {outcomes}"
                )
        lost = records["source_row"].null_count()
        if lost:
            faults.tampered(_describe_unit(unit), f"quarantine lacks {lost} of the records that were mapped again")
        return records.drop_nulls("source_row")

    def _report_faults(self, unit: UnitParts, mapping: UnitMapping, faults: FaultCollector) -> None:
        """Report faults of a unit; without a recorded mapping they prove nothing, since the configuration may have changed."""
        if mapping.id is not None or not faults.faults:
            self.found.faults.extend(faults.all())
            return
        detail = "; ".join(f"{fault.where}: {fault.detail}" for fault in faults.faults[:3])
        self.found.unavailable(
            _describe_unit(unit),
            f"the log recorded no mapping for this unit, and the present one yields other events: {detail}",
        )

    def _read_stored(self, units: list[UnitParts], first: int, last: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the stored events and rejects of units, between two record numbers; rows without a number come last."""
        stream = units[0].stream
        values = {"units": [unit.recorded.source_id for unit in units], "first": first, "last": last}
        frames = []
        for table, columns in ((stream, EVENT[stream]), ("quarantine", {"source_id": pl.String(), **REJECTED})):
            names, missing = ", ".join(f"e.{name}" for name in columns), " OR e.source_row IS NULL" if last == _LAST else ""
            query = statement("raw/stored_rows", table=table, columns=names, or_missing=missing)
            rows = self._connection.execute(query, values).pl()
            frames.append(rows.select(pl.col(name).cast(dtype) for name, dtype in columns.items()))
        return frames[0], frames[1]

    def _report_missing_events(self, unit: UnitParts, mapping: UnitMapping, absent: pl.DataFrame, faults: FaultCollector) -> None:
        """Add a fault for each missing event that no unit stored; a repeated event may be stored with another unit."""
        if absent.is_empty():
            return
        earlier = earlier_form(self._connection, mapping.mapping)
        missing = new_events(self._connection, absent, unit.stream, earlier)
        for row, event_id in missing.sort("source_row").select("source_row", "event_id").iter_rows():
            detail = f"the bytes yield the {unit.stream} event {event_id.hex()}, which the log lacks: it was removed"
            faults.tampered(_describe_record(unit, row), detail)

    def _report_rows_outside(
        self, unit: UnitParts, last: int, stored: tuple[pl.DataFrame, pl.DataFrame] | None, faults: FaultCollector
    ) -> None:
        """Add a fault for each stored row whose record number is outside the unit."""
        of_unit = pl.col("source_id") == unit.recorded.source_id
        outside = of_unit & ~pl.col("source_row").is_between(0, last).fill_null(value=False)
        for span in ((_FIRST, -1), (last + 1, _LAST)) if stored is None else ((0, 0),):
            frames = stored or self._read_stored([unit], *span)
            for table, frame in zip((unit.stream, "quarantine"), frames, strict=True):
                for row in frame.filter(outside)["source_row"].sort().to_list():
                    detail = f"{table} has a row of this record, but the unit ends at record {last}"
                    if row is None:
                        detail = f"{table} has a row without a record number: the number was removed"
                    faults.tampered(_describe_unit(unit) if row is None else _describe_record(unit, row), detail)


class _Comparison:
    """Comparison of consecutive records of a unit: the records in its raw bytes with the records in the log."""

    def __init__(
        self, unit: UnitParts, raw: Unit, remapped: RemappedRecords, events: pl.DataFrame, rejects: pl.DataFrame,
        faults: FaultCollector,
    ) -> None:  # fmt: skip
        within = pl.col("source_row").is_between(remapped.first_row, remapped.last_row)
        self._unit, self._raw, self._remapped, self._faults = unit, raw, remapped, faults
        self._events, self._rejects = events.filter(within), rejects.filter(within)

    def events(self) -> pl.DataFrame:
        """Compare stored events with remapped events; return remapped events that are neither stored nor rejected."""
        remapped, stored = self._remapped.rows, self._events
        if remapped.height == stored.height and remapped.sort("source_row").equals(stored.sort("source_row")):
            return remapped.clear()
        both = remapped.join(stored, on="source_row", suffix="_stored")
        names = [name for name in stored.columns if name != "source_row"]
        differ = both.select("source_row", **{name: pl.col(name).ne_missing(pl.col(f"{name}_stored")) for name in names})
        wrong = differ.filter(pl.any_horizontal(names)).sort("source_row")
        for flags in wrong.head(MAX_NAMED_FAULTS + 1).iter_rows(named=True):
            row = both.filter(pl.col("source_row") == flags["source_row"]).row(0, named=True)
            columns = [
                f"{name} is {format_value(row[f'{name}_stored'])}, the bytes yield {format_value(row[name])}"
                for name in names
                if flags[name]
            ]
            self._faults.tampered(_describe_record(self._unit, flags["source_row"]), "; ".join(columns))
        for row in stored.join(remapped, on="source_row", how="anti")["source_row"].sort().to_list():
            self._faults.tampered(
                _describe_record(self._unit, row), f"the log has a {self._unit.stream} event that the bytes do not yield"
            )
        known = pl.concat([stored["source_row"], self._rejects["source_row"]])
        return remapped.filter(~pl.col("source_row").is_in(known.implode()))

    def rejects(self) -> None:
        """Compare stored rejects with remapped rejects: bytes, provenance, reason and rule."""
        remapped, stored = self._remapped.rejected, self._rejects
        both = remapped.join(stored, on="source_row", suffix="_stored")
        for row in both.sort("source_row").iter_rows(named=True):
            names = [name for name in REJECTED if name != "source_row" and row[name] != row[f"{name}_stored"]]
            if names:
                columns = [
                    f"{name} is {format_value(row[f'{name}_stored'])}, the file has {format_value(row[name])}" for name in names
                ]
                self._faults.tampered(_describe_record(self._unit, row["source_row"]), f"quarantine: {'; '.join(columns)}")
        stored_events = self._events["source_row"].implode()
        absent = remapped.join(stored, on="source_row", how="anti")
        excused = pl.col("source_row").is_in(self._remapped.clock_dependent.implode()) & pl.col("source_row").is_in(stored_events)
        for row, reason in absent.filter(~excused).sort("source_row").select("source_row", "reason").iter_rows():
            self._faults.tampered(
                _describe_record(self._unit, row), f"the record is rejected ({reason}), but the quarantine lacks it"
            )
        left_out = pl.col("source_row").is_in(self._remapped.filtered.implode())
        for row, reason in stored.filter(left_out).sort("source_row").select("source_row", "reason").iter_rows():
            self._faults.tampered(
                _describe_record(self._unit, row), f"the quarantine has the record ({reason}), but `where` leaves it out"
            )
        self._check_accepted_rejects(stored.filter(~left_out).join(remapped, on="source_row", how="anti"))

    def _check_accepted_rejects(self, rows: pl.DataFrame) -> None:
        """Check stored rejects that the mapping accepts: a state may conflict with other rows; then only its bytes are compared."""
        ordered = rows.sort("source_offset", "source_row")
        if ordered.is_empty():
            return
        if self._unit.stream not in CHECKS:
            for row, reason in ordered.select("source_row", "reason").iter_rows():
                detail = f"the quarantine has the record ({reason}), but its bytes yield an event"
                self._faults.tampered(_describe_record(self._unit, row), detail)
            return
        provenance = ordered.select("source_row", "source_offset", "source_length").rows()
        budget_bytes = int(self._raw.limits.quarantine_bytes)
        for (row, _, _), stored_raw, raw in zip(provenance, ordered["raw"], read_raw_records(self._raw, provenance), strict=True):
            budget_bytes -= len(raw)
            # Beyond `quarantine_bytes` of a unit, quarantine has the provenance of a rejected record and none of its bytes.
            if stored_raw != (raw if budget_bytes >= 0 else b""):
                self._faults.tampered(
                    _describe_record(self._unit, row),
                    f"quarantine: raw is {format_value(stored_raw)}, the file has {format_value(raw)}",
                )


class _Sums:
    """Counts and times of a unit from its bytes, for comparison with its control rows."""

    def __init__(self, unit: UnitParts) -> None:
        self._unit, self._records, self._lost_digits, self._filtered = unit, 0, 0, 0
        self._extents = list[dict[str, int | None]]()
        self.read = dict[str, ReadSum]()
        """The sums of the columns whose sum the sender declares, over all records added."""

    def add(self, piece: RemappedRecords) -> None:
        """Add remapped records."""
        self._records += piece.records
        self._lost_digits += piece.lost_digits
        self._filtered += len(piece.filtered)
        self.read = add_sums([self.read, piece.sums])
        self._extents.append(time_extent(piece.rows, self._unit.stream))

    def compare(self, faults: FaultCollector) -> None:
        """Add a fault for each differing column of the control rows.

        Times and lost digits are not compared where one row can cause another to be refused.
        """
        remapped: dict[str, int | None] = {"records": self._records, "filtered": self._filtered}
        if self._unit.stream not in CHECKS:
            remapped["lost_digits"] = self._lost_digits
            remapped |= {"first_time": self._find_extreme("first_time", min), "last_time": self._find_extreme("last_time", max)}
            remapped["last_started_at"] = self._find_extreme("last_started_at", max)
        for name, value in remapped.items():
            parts = [part[name] for part in self._unit.parts if part[name] is not None]
            stored = (
                sum(parts)
                if name in ("records", "filtered", "lost_digits")
                else _choose_extreme(parts, min if name == "first_time" else max)
            )
            if stored != value:
                faults.tampered(_describe_unit(self._unit), f"its control rows have {name} = {stored}, the bytes yield {value}")

    def _find_extreme(self, name: str, choose: Any) -> int | None:
        return _choose_extreme([extent[name] for extent in self._extents if extent[name] is not None], choose)


def _compare_declared(unit: UnitParts, raw: Unit, read: Mapping[str, ReadSum], faults: FaultCollector) -> None:
    """Add a fault where header or trailer declare another number of records, or other sums, than the control rows.

    `read` has the sums over the unit's bytes. A manifest is no raw file, so what it declares is not compared.
    """
    framing = raw.source.framing
    if framing is None or not framing.groups:
        return
    reader = reader_of(raw)
    stored = {part["declared_records"] for part in unit.parts}
    if RECORDS in framing.groups and stored != {declared := reader.declared_records}:
        names = ", ".join(sorted(map(str, stored)))
        faults.tampered(_describe_unit(unit), f"its control rows have declared_records = {names}, the bytes declare {declared}")
    of_bytes = declared_micros(raw.source, reader.declared_sums, where=raw.shown)
    of_rows = read_sums([part["sums"] for part in unit.parts])
    if {name: (one.declared, one.read) for name, one in of_rows.items()} != {
        name: ((micros,), read.get(name, ReadSum())) for name, micros in of_bytes.items()
    }:
        whole = sums_text(of_bytes, read)
        shown = ", ".join(str(part["sums"]) for part in unit.parts)
        faults.tampered(_describe_unit(unit), f"its control rows have sums = {shown}, the bytes yield {whole}")


def _choose_extreme(values: list[Any], choose: Any) -> int | None:
    return choose(values) if values else None


def _describe_unit(unit: UnitParts) -> str:
    return f"unit {unit.recorded.source_id} ({unit.recorded.path})"


def _describe_record(unit: UnitParts, row: int) -> str:
    return f"{unit.recorded.path}, record {row} (unit {unit.recorded.source_id})"
