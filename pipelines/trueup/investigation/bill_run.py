"""The gate before a bill run: the draft of a cycle against usage and subscriptions, on a scratch copy of the log."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.events.streams import INVOICE
from trueup.investigation.scratch import newest_moment, reconcile_copy, scratch_copy, with_path
from trueup.localtime import cycle_begin_day, cycle_number
from trueup.progress import LogFn
from trueup.units import MICROS
from trueup.warehouse.asof import end_of_day
from trueup.warehouse.close import close
from trueup.warehouse.query import with_retries

_DRAFTED = ("charge", INVOICE)
_DAY_US = 86_400 * MICROS
_LONGEST_CYCLE_DAYS = 31
_CYCLE = "cycle"


@dataclass(frozen=True)
class Hold:
    """One account to hold back, in one currency.

    `money` is the sum of `too_little` and `too_much` billed. `unknown` counts findings whose money is not known. `account` is None
    where the account is unknown, `currency` where the money is unknown.
    """

    account: str | None
    currency: str | None
    money: Decimal
    too_little: Decimal
    too_much: Decimal
    findings: int
    provisional: int
    unknown: int
    reasons: str


@dataclass(frozen=True)
class BillRun:
    """The check of a draft bill run: its accounts, those to hold back, and the wrong money by currency.

    `rejected` counts records of the draft in quarantine, which are not checked. `incomplete` names usage feeds that are not
    complete up to the end of the cycle.
    """

    cycle: date
    accounts: int
    holds: tuple[Hold, ...]
    money: dict[str, Decimal]
    rejected: int
    incomplete: tuple[str, ...] = field(default=())

    def exceeds(self, threshold: Decimal) -> bool:
        """Return whether the wrong money of a currency is above the threshold, or a record of the draft could not be read."""
        return self.rejected > 0 or any(money > threshold for money in self.money.values())


def check_bill_run(
    project: Project,
    cycle: date,
    drafts: Sequence[tuple[str, Path]] = (),
    *,
    clock: Clock = system_clock,
    log: LogFn | None = None,
) -> BillRun:
    """Check the bills of the accounts whose billing cycle begins on a day; the log stays as it is.

    `drafts` are files; each is read as one more file of its source of charges or invoices. The draft counts as complete. On the
    copy, feeds of charges are closed up to the end of the cycle, and feeds of invoices up to their due time. If a service is
    compared by sums, feeds of usage are closed too, because a sum otherwise waits for usage until `grace` is over. Invoices are
    checked where the draft or the log has an invoice of the cycle. Raises `TrueupError` for a source that has no drafts, for a file
    that is refused, and for a cycle at the end of the calendar.
    """
    _check_cycle(cycle, project)
    for name, _ in drafts:
        _check_source(project, name)
    with tempfile.TemporaryDirectory(prefix="trueup-bill-run-") as folder:
        copy = _open_at_any_time(scratch_copy(project, Path(folder)))
        moment = max(newest_moment(copy), clock())
        rejected = sum(_take_in(copy, name, path.resolve(), moment) for name, path in drafts)
        accounts = _read_rows(copy, "accounts", {"cycle": cycle})
        end = max((row["end_day"] for row in accounts), default=_end_of_cycle(cycle))
        late = _list_incomplete_usage(copy, end)
        _close(copy, end, max((row["whole_end_day"] for row in accounts), default=end), moment)
        reconcile_copy(copy, moment, log)
        (known,) = _read_rows(copy, "invoices_of", {"cycle": cycle})
        of_cycle = json.dumps([{name: row[name] for name in ("account", "end_day", "whole_days")} for row in accounts], default=str)
        wrong = _read_rows(copy, "wrong", {"cycle": cycle, "accounts": of_cycle, "with_invoices": known["are_known"]})
        holds = _list_holds(wrong)
    money: dict[str, Decimal] = {}
    for hold in holds:
        if hold.currency is not None:
            money[hold.currency] = money.get(hold.currency, Decimal(0)) + hold.money
    return BillRun(cycle, sum(row["is_active"] for row in accounts), holds, money, rejected, late)


def _check_cycle(cycle: date, project: Project) -> None:
    """Raise `TrueupError` for a cycle that ends, or whose invoices are due, after the last day of the calendar."""
    try:
        cycle + timedelta(days=2 * _LONGEST_CYCLE_DAYS, microseconds=project.config.invoice.grace)
    except OverflowError:
        what = f"the cycle of {cycle} is at the end of the calendar"
        raise TrueupError(what, where="--cycle", todo="name an earlier day") from None


def _end_of_cycle(begin: date) -> date:
    """Return the first day of the next cycle, given the first day of a cycle."""
    number = cycle_number(pl.lit(begin), begin.day)
    end: date = pl.select(cycle_begin_day(number + 1, begin.day)).item()
    return end


def _open_at_any_time(copy: Project) -> Project:
    """Return the copy with a clock that may be far ahead of its newest commit: a log may have no commits between two bill runs."""
    settings = copy.config.project.model_copy(update={"max_clock_jump": copy.config.project.max_age})
    return Project(copy.directory, copy.config.model_copy(update={"project": settings}))


def _check_source(project: Project, name: str) -> None:
    drafted = {source.name: source.stream for source in project.config.source if source.stream in _DRAFTED}
    if name not in drafted:
        known = f"write one of {', '.join(drafted)}" if drafted else "the project has no source of charges or invoices"
        raise TrueupError(f"{name!r} is no source of charges or invoices", where="--draft", todo=known)


def _take_in(copy: Project, name: str, path: Path, moment: datetime) -> int:
    """Ingest a draft into the copy, and return how many of its records were rejected."""
    if not path.is_file():
        raise TrueupError("there is no such file", where=str(path), todo="name a file after SOURCE=")
    (source,) = [source for source in copy.config.source if source.name == name]
    done = ingest(with_path(copy, source, path), sources=[name], clock=lambda: moment, choose=lambda *_: True)
    if done.errors:
        raise TrueupError(f"the draft was not accepted: {done.errors[0]}", where=str(path), todo="correct the file")
    if all(unit.outcome == "known" for unit in done.units):
        raise TrueupError("the log has this file already", where=str(path), todo="check the cycle without --draft")
    return sum(unit.quarantined for unit in done.units)


def _list_incomplete_usage(copy: Project, end: date) -> tuple[str, ...]:
    """Return the sources of usage that neither records nor closings of the log have brought to the end of a cycle."""
    usage = [source.name for source in copy.config.source if source.stream == "usage"]
    until = end_of_day(end - timedelta(days=1), ZoneInfo(copy.config.project.timezone))
    late = _read_rows(copy, "incomplete_usage", {"sources": usage, "until": until}) if usage else []
    return tuple(row["source"] for row in late)


def _close(copy: Project, end: date, whole_end: date, moment: datetime) -> None:
    """Close the feeds of the draft, and those that its sums wait for; the days need not be over.

    `end` is the day after the cycle. `whole_end` is the day after the whole cycle, of which a change of cycle left a part.
    """
    grace_days = -(-copy.config.invoice.grace // _DAY_US)
    sums = [rules for rules in copy.config.reconcile.values() if rules.match == ("aggregate",)]
    # A period of a subscription's own zone may end up to a day later than that of the project's zone.
    own_zone_days = int(any(rules.period_zone == "subscriber" for rules in sums))
    sums_end = (whole_end if any(rules.period == _CYCLE for rules in sums) else end) + timedelta(days=own_zone_days)
    for source in copy.config.source:
        if source.stream == "charge" or (source.stream == "usage" and sums):
            close(copy, source.name, sums_end - timedelta(days=1), clock=lambda: moment, may_be_ahead=True)
        elif source.stream == INVOICE:
            close(copy, source.name, end + timedelta(days=grace_days), clock=lambda: moment, may_be_ahead=True)


def _read_rows(project: Project, query: str, values: dict[str, object]) -> list[dict[str, Any]]:
    return with_retries(project, lambda warehouse: warehouse.rows(f"queries/bill_run/{query}", values), None)


def _list_holds(wrong: Sequence[dict[str, Any]]) -> tuple[Hold, ...]:
    """Return one hold for each account and currency, ordered by money, the largest first."""
    grouped: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
    for row in wrong:
        grouped.setdefault((row["account"], row["currency"]), []).append(row)
    holds = [_build_hold(account, currency, rows) for (account, currency), rows in grouped.items()]
    return tuple(sorted(holds, key=lambda hold: (-hold.money, hold.account or "", hold.currency or "")))


def _build_hold(account: str | None, currency: str | None, rows: Sequence[dict[str, Any]]) -> Hold:
    little, much = (sum((row[name] for row in rows), Decimal(0)) for name in ("too_little", "too_much"))
    findings, provisional, unknown = (sum(row[name] for row in rows) for name in ("findings", "provisional", "unknown"))
    reasons = "; ".join(f"{row['kind']} {row['findings']}" for row in rows)
    return Hold(account, currency, little + much, little, much, findings, provisional, unknown, reasons)
