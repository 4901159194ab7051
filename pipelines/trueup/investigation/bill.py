"""Explain the bill of a subscriber line by line, in words that a customer service agent can send."""

from __future__ import annotations

import re
from calendar import monthrange
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from trueup.errors import TrueupError
from trueup.reconcile.domain.kinds import KINDS
from trueup.warehouse.asof import begin_of_day, end_of_day
from trueup.warehouse.explain import plain
from trueup.warehouse.query import Warehouse

_MONTH = re.compile(r"(\d{4})-(\d{2})")
_SPAN = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.\.(\d{4}-\d{2}-\d{2}))?")


@dataclass(frozen=True)
class Bill:
    """The lines of a subscriber's bill, and by currency the billed amount, the change by findings, and the right amount.

    A line has `at`, `service`, `peer`, `amount`, `currency`, `sentence` and `findings`; a line without a charge is usage that was
    not billed. `right` = `billed` + the impacts of findings that no decision dismissed.
    """

    subscriber: str
    first_day: date
    last_day: date
    lines: list[dict[str, Any]]
    totals: list[dict[str, Any]]


def period_of(text: str) -> tuple[date, date]:
    """Return the first and last day of a period: a month 2024-03, a day 2024-03-31, or a span 2024-03-01..2024-03-15.

    >>> period_of("2024-02")
    (datetime.date(2024, 2, 1), datetime.date(2024, 2, 29))
    """
    try:
        if month := _MONTH.fullmatch(text):
            first = date(int(month[1]), int(month[2]), 1)
            return first, first.replace(day=monthrange(first.year, first.month)[1])
        if span := _SPAN.fullmatch(text):
            first, last = date.fromisoformat(span[1]), date.fromisoformat(span[2] or span[1])
            if first <= last:
                return first, last
    except ValueError:
        pass
    raise TrueupError(f"{text!r} is not a period", where="PERIOD", todo="write 2024-03, 2024-03-31 or 2024-03-01..2024-03-15")


def explain_bill(warehouse: Warehouse, subscriber: str, period: str) -> Bill:
    """Return the bill of a subscriber in a period of days in the project's time zone; raise `TrueupError` where it has no line."""
    first, last = period_of(period)
    zone = ZoneInfo(warehouse.lake.project.config.project.timezone)
    begin, end = begin_of_day(first, zone), _find_end(last, zone)
    rows = warehouse.rows("queries/cases/bill_lines", {"subscriber": subscriber, "begin": begin, "end": end})
    if not rows:
        raise TrueupError(f"there is no charge or finding of {subscriber} in {period}", todo="write the number as the log has it")
    lines = [{**row, "sentence": sentence(row)} for row in rows]
    return Bill(subscriber, first, last, lines, _sum_totals(rows))


def _find_end(day: date, zone: ZoneInfo) -> datetime:
    """Return the UTC moment at which a day ends; the last one of the calendar has no next day, so it ends with the calendar."""
    try:
        return end_of_day(day, zone)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def sentence(line: dict[str, Any]) -> str:
    """Return the sentence of a bill line: what was charged, and what is wrong with the charge."""
    to = f" with {line['peer']}" if line["peer"] else ""
    what = f"{line['service'] or 'charge'}{to}"
    if line["is_charged"]:
        used = "" if line["used"] is None else f", {plain(line['used'])} units used"
        charged = "" if line["charged_quantity"] is None else f", {plain(line['charged_quantity'])} charged"
        tariff = f" by tariff {line['tariff_code']}" if line["tariff_code"] else ""
        text = f"{what}{used}{charged}{tariff}: {plain(line['amount'])} {line['currency'] or ''}".rstrip() + "."
    else:
        text = f"{what}: used and not billed."
    return " ".join([text, *(_describe_finding(finding, line["currency"]) for finding in line["findings"])])


def _describe_finding(finding: dict[str, Any], currency: str | None) -> str:
    impact = Decimal(finding["impact"])
    side = "too little" if impact > 0 else "too much"
    amount = f" It is {plain(abs(impact))} {currency or ''}".rstrip() + f" {side}." if impact else ""
    status = "" if finding["status"] == "open" else f" This is {finding['status'].replace('_', ' ')}."
    return f"{KINDS[finding['kind']].meaning}{amount}{status}"


def _sum_totals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    billed: defaultdict[str, Decimal] = defaultdict(Decimal)
    change: defaultdict[str, Decimal] = defaultdict(Decimal)
    counted: set[str] = set()
    for row in rows:
        currency = row["currency"] or ""
        billed[currency] += row["amount"] or 0
        for finding in row["findings"]:
            # A finding about several charges is shown on the line of each charge, but counts once.
            if finding["finding_id"] not in counted and finding["status"] != "dismissed":
                counted.add(finding["finding_id"])
                change[currency] += finding["impact"]
    return [{"currency": c, "billed": billed[c], "findings": change[c], "right": billed[c] + change[c]} for c in sorted(billed)]
