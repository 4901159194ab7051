"""Copy the records of due days out of the lake, so that a validation queries them alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from trueup.events.schema import OWN_TIME_SQL
from trueup.quality.statements import statement
from trueup.quality.validation.engine import BATCH, DuckdbExecutionEngine
from trueup.quality.validation.validation_schedule import DayOf
from trueup.units import MICROS

TOGETHER = 1_000_000
"""Days of a feed with up to this many records, from the first to the last, are copied together. The lake is read once for
them."""


class DueRecords:
    """The records of days of one feed, as known at a snapshot; one day after another is the batch under validation."""

    def __init__(self, engine: DuckdbExecutionEngine, snapshot_id: int) -> None:
        self._engine, self._snapshot_id = engine, snapshot_id

    def batches(self, days: Sequence[DayOf]) -> Iterator[tuple[DayOf, int]]:
        """Make each day the batch in turn, and yield it with its number of records."""
        whole = replace(days[0], day=None, to_us=days[-1].to_us)
        size = self._read(statement("validation/batch_size", stream=whole.stream, condition=condition_of(whole, self._snapshot_id)))
        for part in [days] if size <= TOGETHER else [[day] for day in days]:
            copied = replace(part[0], day=None, to_us=part[-1].to_us)
            self._write(statement("validation/due", query=query_of(copied, self._snapshot_id)))
            for day in part:
                condition = " AND ".join(_list_time_conditions(day)) or "true"
                self._write(statement("validation/due_batch", batch=BATCH, condition=condition))
                yield day, self._read(statement("validation/due_batch_size", batch=BATCH))

    def _read(self, query: str) -> int:
        with self._engine.get_connection() as connection:
            return int(connection.exec_driver_sql(query).scalar_one())

    def _write(self, query: str) -> None:
        with self._engine.get_connection() as connection:
            connection.exec_driver_sql(query)
            connection.commit()


def query_of(of: DayOf, snapshot_id: int) -> str:
    """Return the query for the events of a day of a feed."""
    text = statement("validation/batch", stream=of.stream, condition=condition_of(of, snapshot_id))
    # The library requires a query to begin with SELECT.
    return text[text.index("SELECT") :]


def condition_of(of: DayOf, snapshot_id: int) -> str:
    """Return the SQL condition for the events of a day of a feed: the library binds no values."""
    # Names of sources hold letters, digits, dots, dashes and underscores only.
    conditions = [f"starts_with(e.source_id, '{of.source}@')", f"e.snapshot_id <= {snapshot_id}"]
    return " AND ".join([*conditions, *_list_time_conditions(of)])


def _list_time_conditions(of: DayOf) -> list[str]:
    if of.from_us is None or of.to_us is None:
        return []
    first, last = (datetime.fromtimestamp(us // MICROS, UTC).date() for us in (of.from_us, of.to_us - 1))
    own_time = OWN_TIME_SQL[of.stream]
    return [
        f"e.day BETWEEN DATE '{first}' AND DATE '{last}'",
        f"{own_time} >= make_timestamptz({of.from_us})", f"{own_time} < make_timestamptz({of.to_us})",
    ]  # fmt: skip
