"""A tariff-plan folder of CGRateS as rows of the tariff book; what the book cannot say exactly is refused.

A rating profile's subject becomes the plan (`*any`: any plan), its category the service. Timings have no end: one lasts until the
next timing of the same prefix begins that day.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from trueup.errors import TrueupError
from trueup.rating.book import BAND, RATE, TARIFF
from trueup.rating.go_literals import clock_of, decimal_of, quantity_of
from trueup.regular import read_regular
from trueup.units import MICROS

ANY = "*any"
_MOST_BYTES = 256 << 20
_ROUNDINGS = {"*up": "up", "*down": "down", "*middle": "half_up"}
_WEEK = range(1, 8)


@dataclass(frozen=True)
class Line:
    """A line of a file of the folder: `fields` without the spaces around them, empty where they are absent."""

    file: str
    number: int
    fields: tuple[str, ...]

    def __getitem__(self, index: int) -> str:
        return self.fields[index] if index < len(self.fields) else ""

    def refusal(self, what: str, todo: str = "") -> TrueupError:
        """Return the error for this line."""
        return TrueupError(what, where=f"{self.file} line {self.number}", todo=todo)


def read_cgrates(
    folder: Path, *, currency: str, timezone: str = "UTC", tenant: str | None = None, services: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Read a folder as rows of `TARIFF`; `services` maps categories to services of another name.

    Raises `TrueupError`, with file and line, for what the tariff book has no exact word for.
    """
    plans = _Plans(folder, timezone)
    rows: list[dict[str, Any]] = []
    bands: dict[str, dict[str, Any]] = {}
    for profile, ends in _profiles(folder, tenant):
        dims = {
            "service": (services or {}).get(profile[1], profile[1]), "plan": None if profile[2] == ANY else profile[2],
            "valid_from": _instant(profile), "valid_to": ends, "currency": currency, "tariff_code": profile[4], "item": RATE,
        }  # fmt: skip
        found = plans.rates_of(profile)
        rows += [dims | rate for rate, _ in found]
        bands |= {band["band"]: band for _, band in found if band is not None}
    first = min((row["valid_from"] for row in rows), default=None)
    band_rows = [{"item": BAND, "valid_from": first} | band for band in bands.values()]
    return pl.DataFrame([{n: row.get(n) for n in TARIFF} for row in [*band_rows, *rows]], schema=TARIFF)


def _lines(folder: Path, file: str, least: int, *, needed: bool = True) -> list[Line]:
    path = folder / file
    if not path.exists() and not needed:
        return []
    if not path.exists():
        raise TrueupError(f"there is no {file}", where=str(folder), todo="name the folder of the tariff plan's CSV files")
    try:
        text = read_regular(path, max_bytes=_MOST_BYTES).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""))
        numbered_rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise TrueupError(
            f"the file cannot be read: {reason}", where=str(path), todo="have the tariff plan exported again"
        ) from None
    lines = [Line(file, n, tuple(f.strip() for f in row)) for n, row in numbered_rows if row and not row[0].startswith("#")]
    for line in lines:
        if len(line.fields) < least:
            raise line.refusal(f"a line of {file} has {len(line.fields)} fields instead of {least}")
    return lines


def _profiles(folder: Path, tenant: str | None) -> Iterator[tuple[Line, datetime | None]]:
    """Return the lines of rating profiles, each with its end: the next activation of the same subject."""
    lines = _lines(folder, "RatingProfiles.csv", 5)
    for line in lines:
        if tenant is None and line[0] != lines[0][0]:
            raise line.refusal("there are several tenants", "name the one to import")
    of_tenant = [line for line in lines if tenant in (None, line[0])]
    alone = {line[1] for line in of_tenant if line[2] == ANY}
    for line in of_tenant:
        if line[5] not in ("", ANY):
            raise line.refusal(f"subject {line[2]} falls back on {line[5]}", f"only {ANY} can be fallen back on")
        if line[2] != ANY and line[1] in alone and line[5] != ANY:
            raise line.refusal(
                f"subject {line[2]} does not fall back on {ANY}, as every plan of a tariff book does",
                f"set the fallback to {ANY}, or import this subject and {ANY} separately",
            )
    begins = defaultdict(list)
    for line in of_tenant:
        begins[line[1], line[2]].append(_instant(line))
    for line in of_tenant:
        later = [moment for moment in begins[line[1], line[2]] if moment > _instant(line)]
        yield line, min(later, default=None)


def _instant(profile: Line) -> datetime:
    try:
        moment = datetime.fromisoformat(profile[3])
    except ValueError:
        raise profile.refusal(f"{profile[3]!r} is no activation time", "write it like 2024-01-01T00:00:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True)
class _Timing:
    """When a price of a plan begins on some weekdays."""

    begins: str
    weekdays: frozenset[int]


class _Plans:
    """What the files below the rating profiles say."""

    def __init__(self, folder: Path, timezone: str) -> None:
        self._timezone = timezone
        self._plans, self._destination_rates, self._prefixes, self._rates = (
            defaultdict[str, list[Line]](list), defaultdict[str, list[Line]](list), defaultdict[str, list[str]](list),
            defaultdict[str, list[Line]](list),
        )  # fmt: skip
        for line in _lines(folder, "RatingPlans.csv", 4):
            self._plans[line[0]].append(line)
        for line in _lines(folder, "DestinationRates.csv", 5):
            self._destination_rates[line[0]].append(line)
        for line in _lines(folder, "Rates.csv", 6):
            self._rates[line[0]].append(line)
        for line in _lines(folder, "Destinations.csv", 2, needed=False):
            if not line[1].removeprefix("+").isdecimal():
                raise line.refusal(f"{line[1]!r} is no prefix of digits")
            self._prefixes[line[0]].append(line[1].removeprefix("+"))
        timings = {line[0]: _timing_of(line) for line in _lines(folder, "Timings.csv", 6, needed=False)}
        self._timings = {ANY: _Timing("00:00", frozenset(_WEEK))} | timings
        self._terms: dict[tuple[str, str, str], dict[str, Any]] = {}

    def rates_of(self, profile: Line) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Return the rates of a profile's rating plan, each with its band."""
        if profile[4] not in self._plans:
            raise profile.refusal(f"there is no rating plan {profile[4]}")
        by_prefix = defaultdict[str | None, list[tuple[Line, Line]]](list)
        for line in self._plans[profile[4]]:
            if line[1] not in self._destination_rates:
                raise line.refusal(f"there are no destination rates {line[1]}")
            if line[2] not in self._timings:
                raise line.refusal(f"there is no timing {line[2]}")
            for priced in self._destination_rates[line[1]]:
                for prefix in self._prefixes_of(priced):
                    by_prefix[prefix].append((line, priced))
        return [found for prefix, lines in by_prefix.items() for found in self._of_prefix(prefix, lines)]

    def _prefixes_of(self, priced: Line) -> list[str] | list[None]:
        if priced[1] == ANY:
            return [None]
        if priced[1] not in self._prefixes:
            raise priced.refusal(f"there is no destination {priced[1]}")
        return self._prefixes[priced[1]]

    def _of_prefix(
        self, prefix: str | None, lines: list[tuple[Line, Line]]
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Return the rates of one prefix of a plan: each timing lasts until the next of the day begins."""
        plan = lines[0][0]
        if len({line[3] for line, _ in lines}) > 1:
            raise lines[1][0].refusal(f"prices of {prefix or ANY} differ in weight", "let one price hold at a time, by timings")
        spans: dict[tuple[int, str, str], list[int]] = defaultdict(list)
        for day in _WEEK:
            there = sorted(
                (self._timings[line[2]].begins, i) for i, (line, _) in enumerate(lines) if day in self._timings[line[2]].weekdays
            )
            begins = [begin for begin, _ in there]
            if not begins or begins[0] != "00:00":
                raise plan.refusal(f"{prefix or ANY} has no price on weekday {day} from 00:00 on", "add a timing")
            if len(set(begins)) < len(begins):
                raise lines[there[-1][1]][0].refusal(f"{prefix or ANY} has two prices at a time on weekday {day}")
            for (begin, i), end in zip(there, [*begins[1:], "24:00"], strict=True):
                spans[i, begin, end].append(day)
        for (i, begin, end), days in spans.items():
            line, priced = lines[i]
            band = self._band(line[2], begin, end, days)
            yield self._terms_of(priced) | {"destination": prefix, "band": band and band["band"]}, band

    def _band(self, timing: str, begin: str, end: str, days: list[int]) -> dict[str, Any] | None:
        if (begin, end, days) == ("00:00", "24:00", list(_WEEK)):
            return None
        weekdays = ",".join(map(str, days))
        band = {"weekdays": weekdays, "from_time": begin, "to_time": end, "timezone": self._timezone}
        return band | {"band": f"{timing} {weekdays} {begin}-{end}"}

    def _terms_of(self, priced: Line) -> dict[str, Any]:
        """Price, increments, fee and rounding of a line of destination rates."""
        key = (priced[2], priced[3], priced[4])
        if priced[5] and decimal_of(priced[5]) != 0:
            raise priced.refusal("a greatest cost of a call is not supported", "leave MaxCost empty")
        if key not in self._terms:
            if priced[2] not in self._rates:
                raise priced.refusal(f"there is no rate {priced[2]}")
            self._terms[key] = _slots(self._rates[priced[2]]) | _rounding(priced)
        fee, decimals = self._terms[key]["setup_micros"], self._terms[key]["decimals"]
        if decimals is not None and fee % 10 ** (6 - decimals):
            raise priced.refusal("the connect fee has more decimals than costs are rounded to", "a record is rounded with its fee")
        return self._terms[key]


def _timing_of(line: Line) -> _Timing:
    for index, what in ((1, "years"), (2, "months"), (3, "days of the month")):
        if line[index] not in ("", ANY):
            raise line.refusal(f"a timing of some {what} is not supported")
    begins = clock_of(line[5])
    if begins is None:
        raise line.refusal(f"{line[5]!r} is no time of day of whole minutes", "write it like 08:00:00")
    days = [str(d) for d in _WEEK] if line[4] in ("", ANY) else line[4].split(";")
    if not set(days) <= {str(d) for d in _WEEK}:
        raise line.refusal(f"{line[4]!r} are no weekdays", "write them like 1;2;3, Monday is 1")
    return _Timing(begins, frozenset(map(int, days)))


def _rounding(priced: Line) -> dict[str, Any]:
    if priced[3] == "" and priced[4] in ("", "0"):
        return {"rounding": None, "decimals": None}
    if priced[3] not in _ROUNDINGS or not priced[4].isdecimal() or int(priced[4]) > 6:
        raise priced.refusal(
            f"rounding {priced[3]} to {priced[4]} decimals is not supported", "use *up, *down or *middle and 0 to 6"
        )
    return {"rounding": _ROUNDINGS[priced[3]], "decimals": int(priced[4])}


@dataclass(frozen=True)
class _Slot:
    """A part of a rate: from `begins` on, `price` millionths for each unit, in increments of `step` units."""

    begins: Fraction
    price: Fraction
    step: Fraction


def _slots(lines: list[Line]) -> dict[str, Any]:
    """One rate: a first increment of another price than the rest is a set-up fee beside the rest's price."""
    units, slots = set[str](), list[_Slot]()
    for line in lines:
        rate, per, step, begins = (
            decimal_of(line[2] or "0"),
            quantity_of(line[3]),
            quantity_of(line[4]),
            quantity_of(line[5] or "0"),
        )
        if rate is None or per is None or step is None or begins is None or step.number <= 0 or (per.number <= 0 and rate):
            raise line.refusal(
                "a rate, its unit, its increment or its start is no number or duration", "write them like 0.1,60s,1s,0s"
            )
        units |= {q.unit for q in (per, step, begins) if q.number}
        slots.append(_Slot(begins.number, rate * MICROS / (per.number or 1), step.number))
    fee = decimal_of(lines[0][1] or "0")
    slots.sort(key=lambda slot: slot.begins)
    if fee is None or len(units) != 1 or slots[0].begins != 0:
        raise lines[0].refusal(f"rate {lines[0][0]} has no fee, no one unit or no start at 0 that can be read")
    first, last = slots[0], slots[-1]
    if len(slots) > 2 or (len(slots) == 2 and first.step != last.begins):
        raise lines[-1].refusal(
            f"rate {lines[0][0]} changes after more than its first increment", "let it change right after it, and once"
        )
    setup = fee * MICROS + (first.price - last.price) * first.step
    numbers = [setup, first.step * MICROS, last.step * MICROS]
    if any(number.denominator != 1 for number in numbers) or last.price.denominator > 10**9:
        raise lines[0].refusal(f"rate {lines[0][0]} is finer than millionths")
    setup_micros, first_micros, next_micros = map(int, numbers)
    return {
        "setup_micros": setup_micros, "price_micros": last.price.numerator, "price_per": last.price.denominator,
        "unit": units.pop(), "first_increment_micros": first_micros, "next_increment_micros": next_micros,
    }  # fmt: skip
