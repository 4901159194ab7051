"""A slow rater of recurring items: day by day, in fractions, straight from the rules."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from item_logs import Price, State, micros

from trueup.rating.charged_items.items import PERIODS
from trueup.units import MICROS

Key = tuple[str, str, int, date, date]
"""Item, currency, kind, first day and end of a period."""
DAY = timedelta(days=1)


def slow_expectations(states: Sequence[State], prices: Sequence[Price], low: date, high: date) -> dict[Key, tuple[date, int]]:
    """Return the due day and the amount (millionths) of each period that has a day from `low` to `high`."""
    spans = _list_spans(states)
    names = {p.name for p in prices if p.item == "recurring"}
    found: dict[Any, list[tuple[date, Price, Fraction]]] = {}
    day = low - 80 * DAY
    while day < high + 80 * DAY:
        for name in names:
            for version in _find_version(prices, spans, name, day):
                period = version.more.get("period", "month")
                begins, ends, nominal, length = _find_period(period, spans, day)
                key = (name, version.more.get("currency", "EUR"), period, begins, ends, nominal, length)
                found.setdefault(key, []).append((day, version, _net_price(version, prices, spans, day)))
        day += DAY
    amounts = {}
    for (name, currency, period, begins, ends, nominal, length), days in found.items():
        if ends <= low or begins > high:
            continue
        first = days[0][1]
        shares = [
            _compute_share(first.more.get("proration", "day"), (d - nominal).days, length, is_first=n == 0)
            for n, (d, _, _) in enumerate(days)
        ]
        total = sum((net * share for (_, _, net), share in zip(days, shares, strict=True)), Fraction(0))
        due = ends if first.more.get("due") == "arrears" else max(begins, days[0][0])
        amounts[name, currency, PERIODS[period], begins, ends] = (due, _round_amount(total, first))
    return amounts


Span = tuple[datetime, datetime, State]


def _list_spans(states: Sequence[State]) -> list[Span]:
    own = [s for s in states if s.system == "billing"] or list(states)
    ordered = sorted(own, key=lambda s: datetime.fromisoformat(s.since))
    begins = [datetime.fromisoformat(s.since) for s in ordered]
    ends = [datetime.fromisoformat(s.to) if s.to else datetime.max for s in ordered]
    return [
        (b, min(e, n), s) for b, e, n, s in zip(begins, ends, [*begins[1:], datetime.max][: len(ordered)], ordered, strict=True)
    ]


def _list_spans_on(day: date, spans: Sequence[Span]) -> list[Span]:
    begin = datetime.combine(day, datetime.min.time())
    return [span for span in spans if span[0] < begin + DAY and span[1] > begin]


def _find_version(prices: Sequence[Price], spans: Sequence[Span], name: str, day: date) -> list[Price]:
    """Return the version that charges a day: of the last state on it that the version charges."""
    charging = []
    for with_suspended in (False, True):
        statuses = ("active", "suspended") if with_suspended else ("active",)
        states = _list_spans_on(day, [span for span in spans if span[2].status in statuses])
        if not states:
            continue
        plan = states[-1][2].plan
        of_item = [p for p in prices if p.item == "recurring" and p.name == name]
        own = [p for p in of_item if p.plan is not None and p.plan == plan]
        held = _list_in_force(own, day) or _list_in_force([p for p in of_item if p.plan is None], day)
        if held and (held[-1].more.get("suspended") == "charged") == with_suspended:
            charging.append(held[-1])
    return charging


def _list_in_force(rows: Sequence[Price], day: date) -> list[Price]:
    """Return the versions of one item that are in force at any time of a day, by their beginning."""
    ordered = sorted(rows, key=lambda p: p.since)
    begins = [datetime.fromisoformat(p.since) for p in ordered]
    ends = [datetime.fromisoformat(p.to) if p.to else datetime.max for p in ordered]
    moment = datetime.combine(day, datetime.min.time())
    return [
        p
        for p, b, e, n in zip(ordered, begins, ends, [*begins[1:], datetime.max][: len(ordered)], strict=True)
        if b < moment + DAY and min(e, n) > moment
    ]


def _find_cycle_begin(year: int, month: int, cycle_day: int) -> date:
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    return date(year, month, min(cycle_day, calendar.monthrange(year, month)[1]))


def _find_cycle(day: date, cycle_day: int) -> tuple[date, date]:
    here = _find_cycle_begin(day.year, day.month, cycle_day)
    if day < here:
        return _find_cycle_begin(day.year, day.month - 1, cycle_day), here
    return here, _find_cycle_begin(day.year, day.month + 1, cycle_day)


def _find_period(period: str, spans: Sequence[Span], day: date) -> tuple[date, date, date, int]:
    """Return the first day, the end, the uncut first day and the number of days of the period of a day."""
    if period == "day":
        return day, day + DAY, day, 1
    if period == "week":
        monday = day - day.weekday() * DAY
        return monday, monday + 7 * DAY, monday, 7
    if period == "month":
        begins, ends = _find_cycle(day, 1)
        return begins, ends, begins, (ends - begins).days

    def cycle_day(on: date) -> int:
        begun = [s for s in spans if s[0] < datetime.combine(on, datetime.min.time()) + DAY] or spans[:1]
        return int(begun[-1][2].more.get("cycle_day", 1))

    nominal, end = _find_cycle(day, cycle_day(day))
    first, last = day, day
    while first > nominal and cycle_day(first - DAY) == cycle_day(day):
        first -= DAY
    while last + DAY < end and cycle_day(last + DAY) == cycle_day(day):
        last += DAY
    return first, last + DAY, nominal, (end - nominal).days


def _compute_share(rule: str, offset: int, length: int, *, is_first: bool) -> Fraction:
    def in_30(days: int) -> int:
        return 30 if days >= length else min(days, 30)

    if rule == "none":
        return Fraction(int(is_first))
    return Fraction(in_30(offset + 1) - in_30(offset), 30) if rule == "30" else Fraction(1, length)


def _find_activation(spans: Sequence[Span], day: date) -> date | None:
    """Return the first active day of the unbroken life of a subscription that its last living state of a day belongs to."""
    current = _list_spans_on(day, [s for s in spans if s[2].status != "ceased"])[-1]
    number = spans.index(current)
    while number and spans[number - 1][1] == spans[number][0] and spans[number - 1][2].status != "ceased":
        number -= 1
    life = spans[number:]
    active = [s[0].date() for s in life if s[2].status == "active"]
    return active[0] if active else None


def _net_price(version: Price, prices: Sequence[Price], spans: Sequence[Span], day: date) -> Fraction:
    """Return the price of a whole period at one day's terms, with discounts and tax, in millionths."""
    statuses = ("active", "suspended") if version.more.get("suspended") == "charged" else ("active",)
    state = _list_spans_on(day, [s for s in spans if s[2].status in statuses])[-1]
    fraction, off = 0, 0
    discounts = [p for p in prices if p.item == "discount"]
    for d in discounts:
        same_key = [o for o in discounts if (o.name, o.more.get("applies_to")) == (d.name, d.more.get("applies_to"))]
        own = [o for o in same_key if o.plan is not None and o.plan == state[2].plan]
        if (d.plan is not None and d.plan != state[2].plan) or d.more.get("applies_to", version.name) != version.name:
            continue
        if d.price is not None and d.more.get("currency", "EUR") != version.more.get("currency", "EUR"):
            continue
        offered = day
        if "months" in d.more:
            activated = _find_activation([s for s in spans if s[0] <= state[0]], day)
            if activated is None:
                continue
            ends = _find_cycle_begin(activated.year, activated.month + d.more["months"], activated.day)
            if not activated <= day < ends:
                continue
            offered = activated
        if _list_in_force([d], offered) and not (d.plan is None and _list_in_force(own, offered)):
            fraction, off = fraction + d.more.get("discount_micros", 0), off + micros(d.price or "0")
    price = micros(version.price or "0")
    lowered = Fraction(price) * (MICROS - min(fraction, MICROS)) / MICROS - off
    lowered = max(lowered, Fraction(0)) if price >= 0 else lowered
    return lowered * (MICROS + version.more.get("tax_micros", 0)) / MICROS


def _round_amount(amount: Fraction, version: Price) -> int:
    unit = 10 ** (6 - version.more.get("decimals", 6))
    whole, rest = divmod(abs(amount) / unit, 1)
    rounding = version.more.get("rounding", "half_even")
    half = Fraction(1, 2)
    up = {
        "up": rest > 0, "down": False, "half_up": rest >= half, "half_even": rest > half or (rest == half and whole % 2 == 1),
    }[rounding]  # fmt: skip
    return (-1 if amount < 0 else 1) * (int(whole) + up) * unit
