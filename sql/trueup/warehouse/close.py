"""Declare that a source is complete up to the end of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from trueup.clock import Clock, format_second, system_clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.events.streams import INVOICE, MOVEMENTS
from trueup.log.lake import Lake, Transaction
from trueup.warehouse.asof import end_of_day
from trueup.warehouse.statements import statement


@dataclass(frozen=True)
class Closed:
    """A closing: `source` is complete for every time before `through`; `position` is None where it was declared already."""

    source: str
    day: date
    through: datetime
    position: int | None


def close(project: Project, source: str, day: date, *, clock: Clock = system_clock, may_be_ahead: bool = False) -> Closed:
    """Declare `source` complete up to the end of `day` in the project's time zone; a repeated closing adds nothing.

    Raises `TrueupError` for an unknown source, and for a source of states, whose completeness no step depends on. Also raises it
    for a day that is not over by the clock, unless `may_be_ahead`: no later closing takes a closing back.
    """
    streams = {configured.name: configured.stream for configured in project.config.source}
    closable = [name for name, stream in streams.items() if stream in (*MOVEMENTS, INVOICE)]
    known = f"the project has {', '.join(closable)}" if closable else "the project has none"
    if source not in streams:
        raise TrueupError(f"there is no source {source!r}", where="--source", todo=known)
    if source not in closable:
        raise TrueupError(
            f"the source {source!r} delivers {streams[source]} rows, whose completeness no step depends on: it cannot be closed",
            where="--source", todo=f"close a source of usage, charges or invoices: {known}",
        )  # fmt: skip
    through = _find_end(day, ZoneInfo(project.config.project.timezone))
    if not may_be_ahead:
        _refuse_ahead(day, through, clock())

    def declare(transaction: Transaction) -> int | None:
        if _read_closed_through(transaction, source) >= through:
            return None
        return transaction.declare("close", source=source, through=through)

    with Lake.open(project, clock=clock) as lake:
        return Closed(source, day, through, lake.commit(declare))


def _find_end(day: date, zone: ZoneInfo) -> datetime:
    try:
        return end_of_day(day, zone)
    except OverflowError:
        raise TrueupError(f"{day} is the last day of the calendar", where="--through", todo="name an earlier day") from None


def _refuse_ahead(day: date, through: datetime, now: datetime) -> None:
    """Raise `TrueupError` for a day that ends after `now`."""
    if through > now:
        raise TrueupError(
            f"{day} is not over: it ends at {format_second(through)}, and the clock shows {format_second(now)}",
            where="--through", todo="name a day that is over, or set the machine's clock if it is wrong",
        )  # fmt: skip


def _read_closed_through(transaction: Transaction, source: str) -> datetime:
    row = transaction.connection.execute(statement("queries/status/closed_through").text, {"source": source}).fetchone()
    assert row is not None
    return datetime.min.replace(tzinfo=UTC) if row[0] is None else datetime.fromisoformat(row[0])
