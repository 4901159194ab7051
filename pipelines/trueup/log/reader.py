"""Log reader: rows of a table within a range of positions, buckets and days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from trueup.log.position_lookup import PositionLookup

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class BucketRange:
    """A range of buckets, both ends included."""

    first: int
    last: int


Days = tuple[date | None, date | None]
"""A range of days, both ends included; None leaves an end open."""
ALL_DAYS: Days = (None, None)


@dataclass(frozen=True)
class TablePart:
    """The part of a table to read, as a range of buckets (None: all) and UTC days; each part has the rows without a day."""

    buckets: BucketRange | None = None
    days: Days = ALL_DAYS


WHOLE_TABLE = TablePart()


class LogReader(PositionLookup):
    """A lake session that reads rows of the log."""

    def read(
        self,
        table: str,
        *,
        columns: Sequence[str] = ("*",),
        noted: Sequence[str] = (),
        after: int = 0,
        upto: int | None = None,
        part: TablePart = WHOLE_TABLE,
    ) -> pl.DataFrame:
        """Return the rows of a part of `events.TABLE` committed at positions in (after, upto], with their `position`.

        `noted` are further expressions over a row `e`. The result is exact even if old snapshots have expired: each row has its
        commit as a column.
        """
        newest = self.last_position() if upto is None else upto
        # One query covers both ends of the range.
        self._find_snapshots(max(0, after - 1), newest)
        low, high = self.snapshot_of(after), self.snapshot_of(newest)
        self._note_snapshot(high)
        conditions = ["e.snapshot_id > ?", "e.snapshot_id <= ?"]
        values: list[object] = [low, high]
        if part.buckets is not None:
            conditions.append("e.bucket BETWEEN ? AND ?")
            values += [part.buckets.first, part.buckets.last]
        if part.days != ALL_DAYS:
            conditions.append("(e.day BETWEEN ? AND ? OR e.day IS NULL)")
            values += [part.days[0] or date.min, part.days[1] or date.max]
        selected = ", ".join([*(f"e.{name}" for name in columns), *noted])
        relation, relation_values = self.relation(table, low, high)
        rows = self.connection.execute(
            f"SELECT {selected}, e.snapshot_id AS at_snapshot FROM {relation} e WHERE {' AND '.join(conditions)}",
            [*relation_values, *values],
        ).pl()
        # Positions are joined here, because DuckDB would take all columns through its join.
        return self.with_positions(rows, after=after, upto=newest)

    def count(self, table: str) -> int:
        """Return the number of rows of `events.TABLE`."""
        return self._read_number(f"SELECT count(*) FROM lake.events.{table}")
