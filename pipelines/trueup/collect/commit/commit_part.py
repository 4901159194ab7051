"""One part of a unit: gathered in memory, then committed with its control row, once."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl

from trueup.collect.commit.chain import chained, frame_of
from trueup.collect.commit.cross_row_checks import refused
from trueup.collect.decode.decoded import PLACE, REJECTED, joined
from trueup.collect.decode.reread import raws
from trueup.collect.decode.thread_connection import own_connection
from trueup.collect.discover.units import Unit, open_unit
from trueup.collect.map.mapping import Mapped
from trueup.collect.statements import statement
from trueup.config import LakeConfig, LimitsConfig, SourceConfig
from trueup.errors import LogError, SourceError
from trueup.events.identity import digest16_sql, with_content_keys, with_event_ids
from trueup.events.schema import EVENT, QUARANTINE, STATES, own_time
from trueup.frames import compact_strings, query_frames
from trueup.log.lake import Configuration, Lake, Transaction

PART_RECORDS = 250_000
"""Records of a unit that are one commit."""

PART_BYTES = 64 << 20
"""Bytes of records after which a part ends, be its records fewer.

Both are what a part may take of memory. They are constants, since the parts of a unit must be the same each time it is read; those
that the log has already are as long as their control rows say.
"""

_MANY_DAYS = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Counts:
    """What became of records: records = accepted + duplicate + quarantined."""

    records: int = 0
    accepted: int = 0
    duplicate: int = 0
    quarantined: int = 0
    lost_digits: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.records + other.records, self.accepted + other.accepted, self.duplicate + other.duplicate,
            self.quarantined + other.quarantined, self.lost_digits + other.lost_digits,
        )  # fmt: skip


@dataclass(frozen=True)
class Committed:
    """A part that was committed: at which position, and what became of its records."""

    position: int
    counts: Counts


@dataclass(frozen=True)
class Events:
    """Some records of a unit as events (columns of `EVENT[stream]`), how many lost digits, and those rejected."""

    rows: pl.DataFrame
    lost_digits: int
    rejected: pl.DataFrame


def events_of(mapped: Mapped, source: SourceConfig, lake: LakeConfig) -> Events:
    """Gives mapped records their ids, buckets and days."""
    rows = mapped.rows
    if source.identity == "content":
        rows = with_content_keys(own_connection(), rows, source.stream)
    made = with_event_ids(own_connection(), rows, source.stream, bucket_by=lake.bucket_by, buckets=lake.buckets)
    return Events(made, mapped.lost_digits, mapped.rejected)


@dataclass(frozen=True)
class Taken:
    """What the log has of a unit: the records of each of its parts, by number, and whether that is all."""

    parts: dict[int, int]
    is_whole: bool


def ingested_parts(lake: Lake, source_id: str) -> Taken:
    """The parts of a unit that the log has."""
    rows = lake.connection.execute(statement("taken_parts"), {"source_id": source_id}).fetchall()
    parts = {int(part_no): int(records) for part_no, _, records in rows}
    return Taken(parts, any(is_last and set(parts) == set(range(part_no + 1)) for part_no, is_last, _ in rows))


def kept_bytes(lake: Lake, source_id: str) -> int:
    """How many bytes of a unit's rejected records the log keeps."""
    return int(lake.connection.execute(statement("kept_bytes"), {"source_id": source_id}).fetchall()[0][0])


class Room:
    """How many more bytes of rejected records the log keeps of a unit."""

    def __init__(self, limits: LimitsConfig, used_bytes: int) -> None:
        self._most_bytes, self._left_bytes = limits.kept_bytes, limits.quarantine_bytes - used_bytes

    def fitted(self, rejected: pl.DataFrame) -> pl.DataFrame:
        """Rejected records with the beginning of their bytes, with none once there is no room; where they lie stays."""
        if rejected.is_empty():
            return rejected
        kept = rejected["raw"].bin.head(self._most_bytes)
        size = kept.bin.size().cast(pl.Int64)
        fits = size.cum_sum() <= self._left_bytes
        self._left_bytes -= int((size * fits).sum())
        # Those that come later must not get what was too little for one before them.
        self._left_bytes = self._left_bytes if fits.all() else 0
        raw = pl.select(raw=pl.when(fits).then(kept).otherwise(b""))
        # Copied, lest the beginning hold on to all of a long record.
        return rejected.with_columns(compact_strings(raw)["raw"])


class Part:
    """A part on its way into the log: `add` what is read, then `commit`."""

    def __init__(self, lake: Lake, unit: Unit, number: int, room: Room, mapping: Configuration) -> None:
        self._lake, self._unit, self.number, self._room, self._mapping = lake, unit, number, room, mapping
        self._stream = unit.source.stream
        self._rows = [pl.DataFrame(schema=EVENT[self._stream])]
        self._rejected = list[pl.DataFrame]()
        self._lost_digits = 0

    def add(self, events: Events) -> None:
        """Keeps events and rejected records for the commit."""
        self._rows.append(events.rows)
        self._rejected.append(self._room.fitted(events.rejected))
        self._lost_digits += events.lost_digits

    def commit(self, *, is_last: bool, declared_records: int | None) -> Committed | None:
        """Appends the part, its quarantine and its control row in one commit; None if the log has the part already.

        Raises `LogError` when the log cannot take it; nothing of the part is there then.
        """
        rows = pl.concat(self._rows, rechunk=False)
        rejected = self._quarantine(self._rejected)
        control = {
            "source_id": self._unit.source_id, "source": self._unit.source.name, "stream": self._stream,
            "path": self._unit.shown, "sha256": self._unit.sha256, "bytes": self._unit.size_bytes,
            "part_no": self.number, "last_part": is_last, "declared_records": declared_records,
            "lost_digits": self._lost_digits,
        }  # fmt: skip
        once = _deduplicate(rows).sort("bucket")
        days = same_days(once)
        try:
            return self._lake.commit(lambda transaction: self._write(transaction, control, rows, once, days, rejected))
        except OSError as error:
            raise LogError(f"the lake refused a commit: {error.strerror or error}", where=self._unit.shown) from error

    def _write(
        self, transaction: Transaction, control: dict[str, Any], rows: pl.DataFrame, once: pl.DataFrame, days: str,
        rejected: pl.DataFrame,
    ) -> Committed | None:  # fmt: skip
        if self.number in ingested_parts(self._lake, self._unit.source_id).parts:
            return None
        new = not_known(transaction.connection, once, self._stream, days)
        refused = self._refused(rows, new)
        if refused.height:
            rows, new = (frame.join(refused, on="event_id", how="anti", maintain_order="left") for frame in (rows, new))
            # A copy of the room, since a commit that is tried again comes here again.
            rejected = pl.concat([rejected, self._quarantine([copy(self._room).fitted(self._with_bytes(refused))])])
        transaction.append(self._stream, new)
        transaction.append("quarantine", rejected)
        told = {"records": rows.height + rejected.height, "quarantined": rejected.height, "duplicate": rows.height - new.height}
        last = transaction.connection.execute(statement("last_control"), {"source": self._unit.source.name}).fetchone()
        taken_at_us = (self._lake.clock() - _EPOCH) // timedelta(microseconds=1)
        mapping = transaction.record(self._mapping)
        extent = extent_of(rows, self._stream)
        row = {**control, **told, "accepted": new.height, "taken_at": taken_at_us, "mapping": mapping, **extent}
        transaction.append("control", frame_of(chained(row, last)))
        counts = Counts(accepted=new.height, lost_digits=self._lost_digits, **told)
        return Committed(transaction.next_position("unit"), counts)

    def _refused(self, rows: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
        """The rows that the stream's check refuses, with reason and rule; whatever repeats one of them goes with it."""
        found = refused(self._stream, lambda: self._lake.read(self._stream).sort("position", "source_row"), new.sort("source_row"))
        told = new.join(found, on="source_row").select("event_id", "reason", "rule")
        return rows.join(told, on="event_id").select("event_id", *PLACE, "reason", "rule") if told.height else told

    def _with_bytes(self, refused: pl.DataFrame) -> pl.DataFrame:
        """Refused rows with the bytes of their records: read again, since nobody keeps the bytes of what is sound."""
        ordered = refused.sort("source_offset", "source_row")
        # A reading of its own: the unit's may be in the middle of its next part.
        with open_unit(self._lake.project, self._unit.source, self._unit.path) as again:
            if again.sha256 != self._unit.sha256:
                raise SourceError("the file has changed", where=self._unit.shown, todo="take it in again")
            raw = pl.Series("raw", list(raws(again, ordered.select(*PLACE).rows())), dtype=pl.Binary)
        return ordered.with_columns(raw).select(*REJECTED)

    def _quarantine(self, rejected: list[pl.DataFrame]) -> pl.DataFrame:
        """Rejected records as rows of the log's quarantine."""
        unit = {"source_id": self._unit.source_id, "source": self._unit.source.name, "stream": self._stream}
        rows = joined(rejected).with_columns(pl.lit(text).alias(name) for name, text in unit.items())
        made = digest16_sql("concat_ws(';', '1;quarantine', source_id, source_row)")
        return query_frames(own_connection(), f"SELECT {made} AS event_id, * FROM rows", rows=rows).select(
            pl.col(name).cast(dtype) for name, dtype in QUARANTINE.items()
        )


def extent_of(rows: pl.DataFrame, stream: str) -> dict[str, int | None]:
    """What the times of events span, in microseconds."""
    own = own_time(stream).cast(pl.Int64)
    # A state waits for nothing and lets nothing wait: it has no frontier.
    started = pl.lit(None, pl.Int64) if stream in STATES else pl.col("started_at").cast(pl.Int64)
    return rows.select(first_time=own.min(), last_time=own.max(), last_started_at=started.max()).row(0, named=True)


def _deduplicate(rows: pl.DataFrame) -> pl.DataFrame:
    """Of events with one id, the first in the unit."""
    # Eight of the sixteen bytes tell most parts to be free of repetition, at a third of the cost.
    halves = rows.select(pl.col("event_id").bin.slice(0, 8).bin.reinterpret(dtype=pl.UInt64).n_unique()).item()
    if halves == rows.height:
        return rows
    return rows.sort("source_row").filter(pl.col("event_id").is_first_distinct())


def same_days(rows: pl.DataFrame) -> str:
    """The condition that an event of the log is of one of the rows' days, so that no other day is read.

    The tables of states are small and have no days.
    """
    if "day" not in rows.columns:
        return "true"
    found = rows["day"].unique().sort().to_list()
    days = [day for day in found if day is not None]
    conditions = ["e.day IS NULL"] if len(days) < len(found) else []
    if len(days) > _MANY_DAYS:
        conditions.append(f"e.day BETWEEN {_literal(days[0])} AND {_literal(days[-1])}")
    elif days:
        # The lake skips files by a list of days or by one range, not by several ranges.
        conditions.append(f"e.day IN ({', '.join(map(_literal, days))})")
    return " OR ".join(conditions) or "false"


def _literal(day: date) -> str:
    return f"DATE '{day.isoformat()}'"


def not_known(connection: duckdb.DuckDBPyConnection, rows: pl.DataFrame, stream: str, days: str) -> pl.DataFrame:
    """The events that the log does not have."""
    known = query_frames(connection, statement("known", stream=stream, days=days), part=rows.select("event_id"))
    return rows.join(known, on="event_id", how="anti", maintain_order="left") if known.height else rows
