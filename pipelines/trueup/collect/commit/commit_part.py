"""Parts of source units: collect the events of a part in memory, then commit them together with a control row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl

from trueup.collect.commit.chain import frame_of, link_to_chain
from trueup.collect.commit.corrected_records import with_corrected_records
from trueup.collect.commit.cross_row_checks import refused
from trueup.collect.commit.earlier_form import EarlierForm
from trueup.collect.commit.moved_contents import moved_contents
from trueup.collect.commit.source_chain import follow
from trueup.collect.commit.source_mapping import SourceMapping
from trueup.collect.decode.decoded import PROVENANCE, concat_rejected
from trueup.collect.decode.reread import read_raw_records
from trueup.collect.decode.thread_connection import own_connection
from trueup.collect.discover.units import Unit, open_unit
from trueup.collect.map.mapping import Mapped
from trueup.collect.statements import statement
from trueup.config import LakeConfig, LimitsConfig, SourceConfig
from trueup.errors import LogError, SourceError
from trueup.events.declared_sums import ReadSum, add_sums, sums_text
from trueup.events.identity import digest16_sql, with_content_keys, with_event_ids
from trueup.events.schema import EVENT, QUARANTINE, STATES, own_time
from trueup.events.streams import INVOICE
from trueup.frames import compact_strings, query_frames
from trueup.log.lake import Lake, Transaction

PART_RECORDS = 250_000
"""Maximum number of records in a part."""

PART_BYTES = 32 << 20
"""Bytes of records after which a part ends, even if it has fewer records than `PART_RECORDS`.

Both constants bound the memory of a part. No setting may change them, because a unit must be cut into the same parts each time it
is read. A part that the log already has keeps the length that its control row declares.
"""

_MANY_DAYS = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Counts:
    """Counts of records by outcome: records = accepted + duplicate + filtered + quarantined."""

    records: int = 0
    accepted: int = 0
    duplicate: int = 0
    filtered: int = 0
    quarantined: int = 0
    lost_digits: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.records + other.records, self.accepted + other.accepted, self.duplicate + other.duplicate,
            self.filtered + other.filtered, self.quarantined + other.quarantined, self.lost_digits + other.lost_digits,
        )  # fmt: skip


@dataclass(frozen=True)
class Committed:
    """A committed part: its position and the counts of its records."""

    position: int
    counts: Counts


@dataclass(frozen=True)
class Events:
    """Events of one piece of a unit (columns of `EVENT[stream]`), the number of lost digits, and the rejected records.

    `filtered` is the number of records that the source's `where` leaves out. `sums` has the columns whose sum the sender declares.
    """

    rows: pl.DataFrame
    lost_digits: int
    rejected: pl.DataFrame
    filtered: int
    sums: dict[str, ReadSum]


def events_of(mapped: Mapped, source: SourceConfig, lake: LakeConfig) -> Events:
    """Add event id, bucket and day to mapped records."""
    rows = mapped.rows
    if source.identity == "content":
        rows = with_content_keys(rows, source.stream)
    events = with_event_ids(own_connection(), rows, source.stream, bucket_by=lake.bucket_by, buckets=lake.buckets)
    return Events(events, mapped.lost_digits, mapped.rejected, len(mapped.filtered), mapped.sums)


@dataclass(frozen=True)
class IngestedParts:
    """Parts of a unit in the log: the records of each part by number, the last part's number once it is known, and the path."""

    parts: dict[int, int] = field(default_factory=dict)
    last_part: int | None = None
    path: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether the log has the last part and all parts before it."""
        return self.last_part is not None and self.parts.keys() == set(range(self.last_part + 1))


def ingested_units(lake: Lake, sources: Sequence[str]) -> dict[str, IngestedParts]:
    """Return the units of some sources that the log has parts of, by id."""
    units: dict[str, IngestedParts] = {}
    values = {"sources": list(sources)}
    for unit, part_no, is_last, records, path in lake.connection.execute(statement("ingested_parts"), values).fetchall():
        known = units.get(unit, IngestedParts())
        units[unit] = IngestedParts({**known.parts, part_no: records}, part_no if is_last else known.last_part, path)
    return units


def quarantined_bytes(lake: Lake, source_id: str) -> int:
    """Return the number of bytes of a unit's rejected records in the log's quarantine."""
    return int(lake.connection.execute(statement("quarantined_bytes"), {"source_id": source_id}).fetchall()[0][0])


class QuarantineBudget:
    """Remaining number of bytes of rejected records that the log may hold for one unit."""

    def __init__(self, limits: LimitsConfig, used_bytes: int) -> None:
        self._most_bytes, self._left_bytes = limits.kept_bytes, limits.quarantine_bytes - used_bytes

    def truncate_raw(self, rejected: pl.DataFrame) -> pl.DataFrame:
        """Return rejected records with at most `kept_bytes` of raw bytes each, and none once the budget is used up.

        Their provenance (row, offset, length) is unchanged.
        """
        if rejected.is_empty():
            return rejected
        prefixes = rejected["raw"].bin.head(self._most_bytes)
        size = prefixes.bin.size().cast(pl.Int64)
        fits = size.cum_sum() <= self._left_bytes
        self._left_bytes -= int((size * fits).sum())
        # After the first record that does not fit, later smaller records must not use the remaining budget.
        self._left_bytes = self._left_bytes if fits.all() else 0
        raw = pl.select(raw=pl.when(fits).then(prefixes).otherwise(b""))
        # Copy the prefix: a slice would hold the memory of the whole record.
        return rejected.with_columns(compact_strings(raw)["raw"])


class Part:
    """A part before its commit: `add` each piece that has been read, then `commit`."""

    recycles: str | None = None
    """Id of the unit that delivered the records, where they are mapped again."""

    def __init__(self, of_today: SourceMapping, unit: Unit, number: int, budget: QuarantineBudget) -> None:
        self._lake, self._of_today = of_today.lake, of_today
        self._unit, self.number, self._budget = unit, number, budget
        self._stream = unit.source.stream
        self._rows = [pl.DataFrame(schema=EVENT[self._stream])]
        self._rejected = list[pl.DataFrame]()
        self._lost_digits, self._filtered = 0, 0
        self._sums = dict[str, ReadSum]()

    def add(self, events: Events) -> None:
        """Add events and rejected records to the commit."""
        self._rows.append(events.rows)
        self._rejected.append(self._budget.truncate_raw(events.rejected))
        self._lost_digits += events.lost_digits
        self._filtered += events.filtered
        self._sums = add_sums([self._sums, events.sums])

    def commit(
        self, *, is_last: bool, declared_records: int | None, declared_sums: Mapping[str, int] | None = None
    ) -> Committed | None:
        """Commit the part with its quarantine and control row; return None if the log already has the part.

        `declared_records` and `declared_sums` (millionths by column) are what the sender declares of the whole unit. Raises
        `LogError` when the log refuses the commit; the log then holds nothing of the part.
        """
        rows = pl.concat(self._rows, rechunk=False)
        rejected = self._build_quarantine_rows(self._rejected)
        control = {
            "source_id": self._unit.source_id, "source": self._unit.source.name, "stream": self._stream,
            "path": self._unit.shown, "sha256": self._unit.sha256, "bytes": self._unit.size_bytes,
            "part_no": self.number, "last_part": is_last, "declared_records": declared_records,
            "lost_digits": self._lost_digits, "recycles": self.recycles, "sums": sums_text(declared_sums, self._sums),
        }  # fmt: skip
        unique_rows = _sort_by_bucket(_deduplicate(rows))
        try:
            return self._lake.commit(lambda transaction: self._write_part(transaction, control, rows, unique_rows, rejected))
        except OSError as error:
            raise LogError(f"the lake refused a commit: {error.strerror or error}", where=self._unit.shown) from error

    def _write_part(
        self, transaction: Transaction, control: dict[str, Any], rows: pl.DataFrame, unique_rows: pl.DataFrame,
        rejected: pl.DataFrame,
    ) -> Committed | None:  # fmt: skip
        chain = follow(self._lake, transaction, self._unit.source.name)
        if chain.has(self._unit.source_id, self.number):
            return None
        new = new_events(transaction.connection, unique_rows, self._stream, self._of_today.earlier)
        refused = self._select_refused_rows(rows, new)
        if refused.height:
            rows, new = (frame.join(refused, on="event_id", how="anti", maintain_order="left") for frame in (rows, new))
            # Use a copy of the budget, because a retried commit runs this again.
            rejected = pl.concat(
                [rejected, self._build_quarantine_rows([copy(self._budget).truncate_raw(self._with_bytes(refused))])]
            )
        if not self._accept_outcome(transaction, rows, new, rejected):
            return None
        moved_rows = self._append_events(transaction, new)
        transaction.append("quarantine", rejected)
        counted = {
            "records": rows.height + self._filtered + rejected.height, "quarantined": rejected.height, "filtered": self._filtered,
            "duplicate": rows.height - new.height,
        }  # fmt: skip
        taken_at_us = (self._lake.clock() - _EPOCH) // timedelta(microseconds=1)
        mapping = transaction.record(self._of_today.recorded)
        extent = time_extent(rows, self._stream)
        row = {
            **control,
            **counted,
            "accepted": new.height,
            "taken_at": taken_at_us,
            "mapping": mapping,
            "moved": moved_rows,
            **extent,
        }
        transaction.append("control", frame_of(link_to_chain(row, chain.last)))
        counts = Counts(accepted=new.height, lost_digits=self._lost_digits, **counted)
        return Committed(transaction.next_position("unit"), counts)

    def _append_events(self, transaction: Transaction, new: pl.DataFrame) -> int | None:
        """Append new events, and repeat them under other bucket keys of their records; return the number of those copies."""
        bucket_by = self._lake.project.config.lake.bucket_by
        events = with_corrected_records(transaction.connection, new, bucket_by)
        moved = None
        if self._of_today.may_have_moved:
            # Read the log first, because moved contents are compared with the events before this commit.
            moved = moved_contents(transaction.connection, events, self._stream, bucket_by)
            transaction.append("moved", moved, order_by="bucket")
        transaction.append(self._stream, events)
        return moved.height or None if moved is not None else None

    def _accept_outcome(self, transaction: Transaction, rows: pl.DataFrame, new: pl.DataFrame, rejected: pl.DataFrame) -> bool:
        """Return whether to commit: `new` of the part's events `rows`, and `rejected`. A subclass may write rows of its own."""
        return True

    def _select_refused_rows(self, rows: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that the stream's check refuses, and repetitions of them, with reason and rule."""
        refusals = refused(self._stream, lambda: self._lake.read(self._stream).sort("position", "source_row"), new)
        if refusals.is_empty():
            return refusals
        ids = new.join(refusals, on="source_row").select("event_id", "reason", "rule")
        return rows.join(ids, on="event_id").select("event_id", *PROVENANCE, "reason", "rule")

    def _with_bytes(self, refused: pl.DataFrame) -> pl.DataFrame:
        """Return refused rows with the bytes of their records, read again because accepted records are held without them."""
        ordered = refused.sort("source_offset", "source_row")
        # Open the unit a second time: the first reading may be inside the next part.
        with open_unit(self._lake.project, self._unit.source, self._unit.path) as again:
            if again.sha256 != self._unit.sha256:
                raise SourceError("the file has changed", where=self._unit.shown, todo="ingest it again")
            raw = pl.Series("raw", list(read_raw_records(again, ordered.select(*PROVENANCE).rows())), dtype=pl.Binary)
        return ordered.with_columns(raw).select(*PROVENANCE, "raw", "reason", "rule")

    def _build_quarantine_rows(self, rejected: list[pl.DataFrame]) -> pl.DataFrame:
        """Return rejected records as rows of the log's quarantine."""
        unit = {"source_id": self._unit.source_id, "source": self._unit.source.name, "stream": self._stream}
        rows = concat_rejected(rejected).with_columns(pl.lit(text).alias(name) for name, text in unit.items())
        if rows.is_empty():
            return pl.DataFrame(schema=QUARANTINE)
        event_id = digest16_sql("concat_ws(';', '1;quarantine', source_id, source_row)")
        return query_frames(own_connection(), f"SELECT {event_id} AS event_id, * FROM rows", rows=rows).select(
            pl.col(name).cast(dtype) for name, dtype in QUARANTINE.items()
        )


def time_extent(rows: pl.DataFrame, stream: str) -> dict[str, int | None]:
    """Return first and last event time and last start, in microseconds since the epoch."""
    own = own_time(stream).cast(pl.Int64)
    # States and invoices have no start of use, so no session waits for them.
    started = pl.lit(None, pl.Int64) if stream in (*STATES, INVOICE) else pl.col("started_at").cast(pl.Int64)
    return rows.select(first_time=own.min(), last_time=own.max(), last_started_at=started.max()).row(0, named=True)


def _deduplicate(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the first event of each event id, in the order of the unit."""
    # Most parts have no repetition. Eight of the sixteen bytes of the ids show that at a third of the cost.
    halves = rows.select(pl.col("event_id").bin.slice(0, 8).bin.reinterpret(dtype=pl.UInt64).n_unique()).item()
    if halves == rows.height:
        return rows
    return rows.sort("source_row").filter(pl.col("event_id").is_first_distinct())


def _sort_by_bucket(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows ordered by bucket. Columns without values, often half of them, need no sorting."""
    absent = [values.name for values in rows if values.null_count() == rows.height and values.name != "bucket"]
    ordered = rows.drop(absent).sort("bucket")
    return ordered.with_columns(pl.lit(None, rows.schema[name]).alias(name) for name in absent).select(rows.columns)


def day_filter(rows: pl.DataFrame) -> str:
    """Return the SQL condition that limits a query of the log to the days of the rows.

    State tables are small and have no days.
    """
    if "day" not in rows.columns:
        return "true"
    values = rows["day"].unique().sort().to_list()
    days = [day for day in values if day is not None]
    conditions = ["e.day IS NULL"] if len(days) < len(values) else []
    if len(days) > _MANY_DAYS:
        conditions.append(f"e.day BETWEEN {_format_day(days[0])} AND {_format_day(days[-1])}")
    elif days:
        # DuckLake prunes files by a list of days or by one range, not by several ranges.
        conditions.append(f"e.day IN ({', '.join(map(_format_day, days))})")
    return " OR ".join(conditions) or "false"


def _format_day(day: date) -> str:
    return f"DATE '{day.isoformat()}'"


def new_events(connection: duckdb.DuckDBPyConnection, rows: pl.DataFrame, stream: str, earlier: EarlierForm | None) -> pl.DataFrame:
    """Return the events that the log does not have yet, in their present form or in a form of an earlier mapping version."""
    days = day_filter(rows)
    known = query_frames(connection, statement("known", stream=stream, days=days), part=rows.select("event_id"))
    new = rows.join(known, on="event_id", how="anti", maintain_order="left") if known.height else rows
    return new if earlier is None or new.is_empty() else earlier.new_rows(connection, new, days)
