"""Declare that a source is complete up to the end of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from trueup.clock import Clock, system_clock
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


def close(project: Project, source: str, day: date, *, clock: Clock = system_clock) -> Closed:
    """Declare `source` complete up to the end of `day` in the project's time zone; a repeated closing adds nothing.

    Raises `TrueupError` for an unknown source, and for a source of states, whose completeness no step depends on.
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
    try:
        through = end_of_day(day, ZoneInfo(project.config.project.timezone))
    except OverflowError:
        raise TrueupError(f"{day} is the last day of the calendar", where="--through", todo="name an earlier day") from None

    def declare(transaction: Transaction) -> int | None:
        if _read_closed_through(transaction, source) >= through:
            return None
        return transaction.declare("close", source=source, through=through)

    with Lake.open(project, clock=clock) as lake:
        return Closed(source, day, through, lake.commit(declare))


def _read_closed_through(transaction: Transaction, source: str) -> datetime:
    row = transaction.connection.execute(statement("queries/status/closed_through").text, {"source": source}).fetchone()
    assert row is not None
    return datetime.min.replace(tzinfo=UTC) if row[0] is None else datetime.fromisoformat(row[0])
