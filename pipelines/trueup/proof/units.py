"""Units against their raw bytes: every record mapped again and compared column by column with the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from trueup.collect.commit.commit_part import day_filter, new_events, time_extent
from trueup.collect.commit.cross_row_checks import CHECKS
from trueup.collect.decode.decoded import REJECTED
from trueup.collect.decode.reread import read_raw_records
from trueup.collect.discover.units import Unit
from trueup.errors import ConfigError, SourceError
from trueup.events.schema import EVENT
from trueup.proof.archive import Archive, Missing, Wanted
from trueup.proof.evidence import SHOWN, Check, Evidence, Found
from trueup.proof.mappings import MadeBy, Mappings
from trueup.proof.remap import Remapped, gathered, remapped
from trueup.proof.statements import statement

CHECK = "units"
ROWS_AT_ONCE = 400_000
"""How many records are compared at a time: some hundred megabytes."""
_LAST = 2**62


@dataclass(frozen=True)
class UnitParts:
    """A unit with the control rows of its parts."""

    wanted: Wanted
    source: str
    stream: str
    parts: tuple[dict[str, Any], ...]

    @property
    def records(self) -> int:
        """How many records its control rows count."""
        return sum(int(part["records"] or 0) for part in self.parts)

    @property
    def taken_at_us(self) -> dict[int, int]:
        """The clock of each part's commit."""
        return {int(part["part_no"]): int(part["taken_at_us"]) for part in self.parts}

    @property
    def part_records(self) -> dict[int, int]:
        """How many records each part counts."""
        return {int(part["part_no"]): int(part["records"] or 0) for part in self.parts}


def units_of(evidence: Evidence) -> list[UnitParts]:
    """All units that control rows describe well enough to look for them, in the order of the log."""
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in evidence.rows("parts"):
        if None not in (row["source_id"], row["path"], row["sha256"], row["bytes"], row["part_no"], row["taken_at_us"]):
            parts.setdefault(row["source_id"], []).append(row)
    return [
        UnitParts(
            Wanted(name, rows[0]["path"], rows[0]["sha256"], rows[0]["bytes"]), rows[0]["source"], rows[0]["stream"], tuple(rows)
        )
        for name, rows in parts.items()
    ]


def archive_of(evidence: Evidence, units: Sequence[UnitParts]) -> Archive:
    """Where the raw bytes of these units are looked for."""
    return Archive(evidence.lake.project, evidence.archives, frozenset(unit.wanted.sha256 for unit in units))


def check_units(evidence: Evidence) -> Check:
    """Reads every unit's bytes, compares their SHA-256 and number with the log, maps all records again and compares every column.

    The mapping is the one that the log recorded for the unit, whatever the configuration asks for today. Memory holds some
    hundred thousand records at a time. A unit whose bytes are nowhere is unavailable, not tampered.
    """
    units = units_of(evidence)
    reading = _Reading(evidence, units)
    for batch in _batches(units):
        reading.compare(batch)
    return Check(CHECK, sum(unit.records for unit in units), "record", reading.found.all(), tuple(reading.notes))


def _batches(units: Sequence[UnitParts]) -> Iterator[list[UnitParts]]:
    """Units of one stream that are small enough to be compared together; a large one is alone."""
    held: dict[str, list[UnitParts]] = {}
    for unit in units:
        waiting = held.setdefault(unit.stream, [])
        if waiting and sum(u.records for u in waiting) + unit.records > ROWS_AT_ONCE:
            yield waiting
            held[unit.stream] = waiting = []
        waiting.append(unit)
    yield from (waiting for waiting in held.values() if waiting)


class _Reading:
    """The comparison of units with their raw bytes, batch by batch."""

    def __init__(self, evidence: Evidence, units: Sequence[UnitParts]) -> None:
        self._evidence, self._connection = evidence, evidence.lake.connection
        self._archive, self._mappings = archive_of(evidence, units), Mappings(evidence)
        self.found, self.notes = Found(CHECK), list[str]()

    def compare(self, units: list[UnitParts]) -> None:
        """Compares units of one stream; their rows are read from the lake together where they fit in memory."""
        small = sum(unit.records for unit in units) <= ROWS_AT_ONCE
        stored = self._stored(units, -_LAST, _LAST) if small else None
        for unit in units:
            try:
                made_by = self._mappings.of(unit.source, unit.parts[0]["mapping"])
                with self._archive.unit(unit.wanted, made_by.mapping.source) as raw:
                    self._compare(unit, raw, made_by, stored)
            except Missing as error:
                (self.found.tampered if error.changed else self.found.unavailable)(_where(unit), error.what)
            except ConfigError as error:
                self.found.unavailable(_where(unit), str(error))
            except SourceError as error:
                self.found.tampered(_where(unit), f"the bytes cannot be read as a unit of this source: {error}")

    def _compare(self, unit: UnitParts, raw: Unit, made_by: MadeBy, stored: tuple[pl.DataFrame, pl.DataFrame] | None) -> None:
        faults, sums = Found(CHECK), _Sums(unit)
        pieces = remapped(raw, made_by.mapping, unit.taken_at_us, unit.part_records)
        last = -1
        for piece in gathered(pieces, rows=ROWS_AT_ONCE):
            events, rejects = stored or self._stored([unit], piece.first_row, piece.last_row)
            mine = pl.col("source_id") == unit.wanted.source_id
            comparison = _Comparison(unit, raw, piece, events.filter(mine), rejects.filter(mine), faults)
            comparison.rejects()
            self._missing_events(unit, comparison.events(), faults)
            sums.add(piece)
            last = piece.last_row
        self._outside(unit, last, stored, faults)
        sums.compare(faults)
        self._report(unit, made_by, faults)

    def _report(self, unit: UnitParts, made_by: MadeBy, faults: Found) -> None:
        """Faults of a unit whose mapping nobody recorded prove nothing: the configuration may have changed since."""
        if made_by.id is not None or not faults.faults:
            self.found.faults.extend(faults.all())
            return
        told = "; ".join(f"{fault.where}: {fault.detail}" for fault in faults.faults[:3])
        self.found.unavailable(
            _where(unit), f"the log recorded no mapping for this unit, and today's makes something else of its bytes: {told}"
        )

    def _stored(self, units: list[UnitParts], first: int, last: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The stored events and rejects of units, between two record numbers."""
        stream = units[0].stream
        values = {"units": [unit.wanted.source_id for unit in units], "first": first, "last": last}
        frames = []
        for table, columns in ((stream, EVENT[stream]), ("quarantine", {"source_id": pl.String(), **REJECTED})):
            query = statement("stored_rows", table=table, columns=", ".join(f"e.{name}" for name in columns))
            rows = self._connection.execute(query, values).pl()
            frames.append(rows.select(pl.col(name).cast(dtype) for name, dtype in columns.items()))
        return frames[0], frames[1]

    def _missing_events(self, unit: UnitParts, absent: pl.DataFrame, faults: Found) -> None:
        """Records that make an event which is not stored for this unit: repeated ones are stored elsewhere."""
        if absent.is_empty():
            return
        gone = new_events(self._connection, absent, unit.stream, day_filter(absent))
        for row, event_id in gone.sort("source_row").select("source_row", "event_id").iter_rows():
            detail = f"the bytes make the {unit.stream} event {event_id.hex()}, which the log does not hold: it was removed"
            faults.tampered(_record(unit, row), detail)

    def _outside(self, unit: UnitParts, last: int, stored: tuple[pl.DataFrame, pl.DataFrame] | None, faults: Found) -> None:
        """Stored rows of the unit whose record numbers it does not have."""
        mine = pl.col("source_id") == unit.wanted.source_id
        outside = mine & ~pl.col("source_row").is_between(0, last)
        for span in ((-_LAST, -1), (last + 1, _LAST)) if stored is None else ((0, 0),):
            frames = stored or self._stored([unit], *span)
            for table, frame in zip((unit.stream, "quarantine"), frames, strict=True):
                for row in frame.filter(outside)["source_row"].sort().to_list():
                    faults.tampered(_record(unit, row), f"{table} holds a row of this record, but the unit ends at record {last}")


class _Comparison:
    """Some consecutive records of a unit: what their bytes make beside what the log holds."""

    def __init__(
        self, unit: UnitParts, raw: Unit, made: Remapped, events: pl.DataFrame, rejects: pl.DataFrame, faults: Found
    ) -> None:  # fmt: skip
        within = pl.col("source_row").is_between(made.first_row, made.last_row)
        self._unit, self._raw, self._made, self._faults = unit, raw, made, faults
        self._events, self._rejects = events.filter(within), rejects.filter(within)

    def events(self) -> pl.DataFrame:
        """Compares stored events with those made again; returns those made that are neither stored nor rejected."""
        made, stored = self._made.rows, self._events
        if made.height == stored.height and made.sort("source_row").equals(stored.sort("source_row")):
            return made.clear()
        both = made.join(stored, on="source_row", suffix="_stored")
        names = [name for name in stored.columns if name != "source_row"]
        differ = both.select("source_row", **{name: pl.col(name).ne_missing(pl.col(f"{name}_stored")) for name in names})
        wrong = differ.filter(pl.any_horizontal(names)).sort("source_row")
        for flags in wrong.head(SHOWN + 1).iter_rows(named=True):
            row = both.filter(pl.col("source_row") == flags["source_row"]).row(0, named=True)
            columns = [
                f"{name} is {shown(row[f'{name}_stored'])}, the bytes make {shown(row[name])}" for name in names if flags[name]
            ]
            self._faults.tampered(_record(self._unit, flags["source_row"]), "; ".join(columns))
        for row in stored.join(made, on="source_row", how="anti")["source_row"].sort().to_list():
            self._faults.tampered(_record(self._unit, row), f"the log holds a {self._unit.stream} event that the bytes do not make")
        known = pl.concat([stored["source_row"], self._rejects["source_row"]])
        return made.filter(~pl.col("source_row").is_in(known.implode()))

    def rejects(self) -> None:
        """Compares stored rejects with those made again: bytes, place, reason and rule."""
        made, stored = self._made.rejected, self._rejects
        both = made.join(stored, on="source_row", suffix="_stored")
        for row in both.sort("source_row").iter_rows(named=True):
            names = [name for name in REJECTED if name != "source_row" and row[name] != row[f"{name}_stored"]]
            if names:
                columns = [f"{name} is {shown(row[f'{name}_stored'])}, the file says {shown(row[name])}" for name in names]
                self._faults.tampered(_record(self._unit, row["source_row"]), f"quarantine: {'; '.join(columns)}")
        stored_events = self._events["source_row"].implode()
        absent = made.join(stored, on="source_row", how="anti")
        excused = pl.col("source_row").is_in(self._made.doubtful.implode()) & pl.col("source_row").is_in(stored_events)
        for row, reason in absent.filter(~excused).sort("source_row").select("source_row", "reason").iter_rows():
            self._faults.tampered(
                _record(self._unit, row), f"the record is rejected ({reason}), but the quarantine does not hold it"
            )
        self._refused_by_others(stored.join(made, on="source_row", how="anti"))

    def _refused_by_others(self, rows: pl.DataFrame) -> None:
        """Rejects that the mapping does not reject: of states, other rows may have refused them; their bytes are compared."""
        ordered = rows.sort("source_offset", "source_row")
        if ordered.is_empty():
            return
        if self._unit.stream not in CHECKS:
            for row, reason in ordered.select("source_row", "reason").iter_rows():
                detail = f"the quarantine holds the record ({reason}), but its bytes make an event"
                self._faults.tampered(_record(self._unit, row), detail)
            return
        places = ordered.select("source_row", "source_offset", "source_length").rows()
        room_bytes = int(self._raw.limits.quarantine_bytes)
        for (row, _, _), kept, raw in zip(places, ordered["raw"], read_raw_records(self._raw, places), strict=True):
            room_bytes -= len(raw)
            # Beyond `quarantine_bytes` of a unit, quarantine keeps the place of a rejected record and none of its bytes.
            if kept != (raw if room_bytes >= 0 else b""):
                self._faults.tampered(_record(self._unit, row), f"quarantine: raw is {shown(kept)}, the file holds {shown(raw)}")


class _Sums:
    """Counts and times of a unit as its bytes make them, to be compared with its control rows."""

    def __init__(self, unit: UnitParts) -> None:
        self._unit, self._records, self._lost_digits = unit, 0, 0
        self._extents = list[dict[str, int | None]]()

    def add(self, piece: Remapped) -> None:
        """Adds some records."""
        self._records += piece.last_row - piece.first_row + 1
        self._lost_digits += piece.lost_digits
        self._extents.append(time_extent(piece.rows, self._unit.stream))

    def compare(self, faults: Found) -> None:
        """Names the columns of the control rows that differ; where other rows refused some, times and digits may."""
        made: dict[str, int | None] = {"records": self._records}
        if self._unit.stream not in CHECKS:
            made["lost_digits"] = self._lost_digits
            made |= {"first_time": self._of("first_time", min), "last_time": self._of("last_time", max)}
            made["last_started_at"] = self._of("last_started_at", max)
        for name, value in made.items():
            parts = [part[name] for part in self._unit.parts if part[name] is not None]
            told = sum(parts) if name in ("records", "lost_digits") else _extreme(parts, min if name == "first_time" else max)
            if told != value:
                faults.tampered(_where(self._unit), f"its control rows say {name} = {told}, the bytes make {value}")

    def _of(self, name: str, choose: Any) -> int | None:
        return _extreme([extent[name] for extent in self._extents if extent[name] is not None], choose)


def _extreme(values: list[Any], choose: Any) -> int | None:
    return choose(values) if values else None


def _where(unit: UnitParts) -> str:
    return f"unit {unit.wanted.source_id} ({unit.wanted.path})"


def _record(unit: UnitParts, row: int) -> str:
    return f"{unit.wanted.path}, record {row} (unit {unit.wanted.source_id})"


def shown(value: object) -> str:
    """A value in a sentence: bytes that are no text as their hex digits."""
    if isinstance(value, bytes):
        return value.hex() if len(value) == 16 else repr(value.decode("utf-8", "backslashreplace"))
    return "NULL" if value is None else repr(value) if isinstance(value, str) else str(value)
