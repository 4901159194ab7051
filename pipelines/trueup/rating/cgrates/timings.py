"""Timings of CGRateS: which price of a prefix holds on which weekdays, from when until when.

A timing has no end: it holds from its time until midnight. Where several timings hold at once, the timing with the greatest weight
decides; among equal weights, the timing that began last does. So [the rating logic of
CGRateS](https://cgrates.readthedocs.io/en/latest/ratinglogic.html) defines it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from trueup.rating.cgrates.go_literals import clock_of
from trueup.rating.cgrates.lines import ANY, Line

WEEK = range(1, 8)
_MIDNIGHT, _END = "00:00", "24:00"


@dataclass(frozen=True)
class Timing:
    """The time of day (`HH:MM`) and the weekdays (1 is Monday, 7 is Sunday) at which a price of a plan begins."""

    begins: str
    weekdays: frozenset[int]


ALWAYS = Timing(_MIDNIGHT, frozenset(WEEK))


@dataclass(frozen=True)
class Timed:
    """A line of a rating plan with its timing and weight."""

    line: Line
    timing: Timing
    weight: Fraction


@dataclass(frozen=True, order=True)
class Span:
    """A part of a day: price number `index` holds from `begins` until `ends`."""

    index: int
    begins: str
    ends: str

    def is_always(self, weekdays: Sequence[int]) -> bool:
        """Return whether the span, on these weekdays, covers the whole week."""
        return (self.begins, self.ends, list(weekdays)) == (_MIDNIGHT, _END, list(WEEK))

    def band(self, timing: str, weekdays: Sequence[int], timezone: str) -> dict[str, Any]:
        """Return this span as the columns of a time band on these weekdays; the band is named after the timing."""
        days = ",".join(map(str, weekdays))
        times = {"from_time": self.begins, "to_time": self.ends, "timezone": timezone}
        return {"weekdays": days, **times, "band": f"{timing} {days} {self.begins}-{self.ends}"}


def timing_of(line: Line) -> Timing:
    """Return the timing of a line of `Timings.csv`.

    Raises `TrueupError` for a timing that is limited to years, months or days of the month, and for a time that is no whole minute.
    """
    for index, what in ((1, "years"), (2, "months"), (3, "days of the month")):
        if line[index] not in ("", ANY):
            raise line.refusal(f"a timing of some {what} is not supported")
    begins = clock_of(line[5])
    if begins is None:
        raise line.refusal(f"{line[5]!r} is not a time of day in whole minutes", "write it like 08:00:00")
    days = [str(d) for d in WEEK] if line[4] in ("", ANY) else line[4].split(";")
    if not set(days) <= {str(d) for d in WEEK}:
        raise line.refusal(f"{line[4]!r} are not weekdays", "write them like 1;2;3, Monday is 1")
    return Timing(begins, frozenset(map(int, days)))


def spans_of(prices: Sequence[Timed], prefix: str) -> dict[Span, list[int]]:
    """Return the spans in which the prices of a prefix hold, each with its weekdays.

    Raises `TrueupError` where no price holds at some time, or where two prices hold with equal weight and beginning.
    """
    spans = defaultdict[Span, list[int]](list)
    for day in WEEK:
        for span in _list_day_spans(prices, day, prefix):
            spans[span].append(day)
    return spans


def _list_day_spans(prices: Sequence[Timed], day: int, prefix: str) -> list[Span]:
    """Return the spans of one weekday in their order."""
    there = [(i, price) for i, price in enumerate(prices) if day in price.timing.weekdays]
    begins = sorted({price.timing.begins for _, price in there})
    if not begins or begins[0] != _MIDNIGHT:
        raise prices[0].line.refusal(f"{prefix} has no price on weekday {day} from 00:00 on", "add a timing")
    spans: list[Span] = []
    for begin, end in zip(begins, [*begins[1:], _END], strict=True):
        index = _find_price_in_force([(i, price) for i, price in there if price.timing.begins <= begin], day, prefix)
        if spans and spans[-1].index == index:
            spans[-1] = Span(index, spans[-1].begins, end)
        else:
            spans.append(Span(index, begin, end))
    return spans


def _find_price_in_force(active: Sequence[tuple[int, Timed]], day: int, prefix: str) -> int:
    """Return the number of the price that holds among the active prices."""
    ranked = sorted(active, key=lambda one: (one[1].weight, one[1].timing.begins))
    best = ranked[-1][1]
    if len(ranked) > 1 and (ranked[-2][1].weight, ranked[-2][1].timing.begins) == (best.weight, best.timing.begins):
        raise best.line.refusal(
            f"{prefix} has two prices at a time on weekday {day}", "give one of them a greater weight or another timing"
        )
    return ranked[-1][0]
