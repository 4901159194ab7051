"""A tariff-plan folder of CGRateS as rows of the tariff book; terms that the book cannot express exactly are refused.

A rating profile's subject becomes the plan (`*any`: any plan), its category the service. `timings` decides which of several
prices of a prefix holds, and `rates` has the price.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from trueup.rating.book import BAND, RATE, TARIFF
from trueup.rating.cgrates.go_literals import decimal_of
from trueup.rating.cgrates.lines import ANY, Line, lines_of
from trueup.rating.cgrates.rates import terms_of
from trueup.rating.cgrates.timings import ALWAYS, Timed, Timing, spans_of, timing_of

_DIRECTIONS = frozenset({"*out", "*in"})


def read_cgrates(
    folder: Path, *, currency: str, timezone: str = "UTC", tenant: str | None = None, services: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Read a folder as rows of `TARIFF`; `services` maps a category to the service, where their names differ.

    Raises `TrueupError`, with file and line, for a term that the tariff book cannot express exactly.
    """
    plans = _Plans(folder, timezone)
    rows: list[dict[str, Any]] = []
    bands: dict[str, dict[str, Any]] = {}
    for profile, ends in _list_profiles(folder, tenant):
        dims = {
            "service": (services or {}).get(profile[1], profile[1]), "plan": None if profile[2] == ANY else profile[2],
            "valid_from": _parse_activation(profile), "valid_to": ends, "currency": currency, "tariff_code": profile[4],
            "item": RATE,
        }  # fmt: skip
        found = plans.rates_of(profile)
        rows += [dims | rate for rate, _ in found]
        bands |= {band["band"]: band for _, band in found if band is not None}
    first = min((row["valid_from"] for row in rows), default=None)
    band_rows = [{"item": BAND, "valid_from": first} | band for band in bands.values()]
    return pl.DataFrame([{n: row.get(n) for n in TARIFF} for row in [*band_rows, *rows]], schema=TARIFF)


def _list_profiles(folder: Path, tenant: str | None) -> Iterator[tuple[Line, datetime | None]]:
    """Return the lines of rating profiles, each with its end: the next activation of the same subject."""
    lines = lines_of(folder, "RatingProfiles.csv")
    for line in lines:
        if {line[0], line[2]} & _DIRECTIONS:
            raise line.refusal(
                "the line has a direction, as in early versions of CGRateS", "have the tariff plan exported without it"
            )
        if tenant is None and line[0] != lines[0][0]:
            raise line.refusal("there are several tenants", "name the one to import")
    of_tenant = [line for line in lines if tenant in (None, line[0])]
    alone = {line[1] for line in of_tenant if line[2] == ANY}
    for line in of_tenant:
        if line[5] not in ("", ANY):
            raise line.refusal(f"subject {line[2]} falls back on {line[5]}", f"set the fallback to {ANY}")
        if line[2] != ANY and line[1] in alone and line[5] != ANY:
            raise line.refusal(
                f"subject {line[2]} does not fall back on {ANY}, as every plan of a tariff book does",
                f"set the fallback to {ANY}, or import this subject and {ANY} separately",
            )
    begins = defaultdict(list)
    for line in of_tenant:
        begins[line[1], line[2]].append(_parse_activation(line))
    for line in of_tenant:
        later = [moment for moment in begins[line[1], line[2]] if moment > _parse_activation(line)]
        yield line, min(later, default=None)


def _parse_activation(profile: Line) -> datetime:
    try:
        moment = datetime.fromisoformat(profile[3])
    except ValueError:
        raise profile.refusal(f"{profile[3]!r} is not an activation time", "write it like 2024-01-01T00:00:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Plans:
    """The content of the files below the rating profiles."""

    def __init__(self, folder: Path, timezone: str) -> None:
        self._timezone = timezone
        self._plans, self._destination_rates, self._prefixes, self._rates = (
            defaultdict[str, list[Line]](list), defaultdict[str, list[Line]](list), defaultdict[str, list[Line]](list),
            defaultdict[str, list[Line]](list),
        )  # fmt: skip
        for line in lines_of(folder, "RatingPlans.csv"):
            self._plans[line[0]].append(line)
        for line in lines_of(folder, "DestinationRates.csv"):
            self._destination_rates[line[0]].append(line)
        for line in lines_of(folder, "Rates.csv"):
            self._rates[line[0]].append(line)
        for line in lines_of(folder, "Destinations.csv", needed=False):
            self._prefixes[line[0]].append(line)
        self._timings = {line[0]: line for line in lines_of(folder, "Timings.csv", needed=False)}
        self._terms: dict[tuple[str, ...], dict[str, Any]] = {}

    def rates_of(self, profile: Line) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Return the rates of a profile's rating plan, each with its band."""
        if profile[4] not in self._plans:
            raise profile.refusal(f"there is no rating plan {profile[4]}")
        by_prefix = defaultdict[str | None, list[tuple[Line, Line]]](list)
        for line in self._plans[profile[4]]:
            if line[1] not in self._destination_rates:
                raise line.refusal(f"there are no destination rates {line[1]}")
            for priced in self._destination_rates[line[1]]:
                for prefix in self._find_prefixes(priced):
                    by_prefix[prefix].append((line, priced))
        return [found for prefix, lines in by_prefix.items() for found in self._rate_prefix(prefix, lines)]

    def _find_prefixes(self, priced: Line) -> list[str] | list[None]:
        if priced[1] == ANY:
            return [None]
        if priced[1] not in self._prefixes:
            raise priced.refusal(f"there is no destination {priced[1]}")
        for line in self._prefixes[priced[1]]:
            if not line[1].removeprefix("+").isdecimal():
                raise line.refusal(f"{line[1]!r} is not a prefix of digits")
        return [line[1].removeprefix("+") for line in self._prefixes[priced[1]]]

    def _find_timing(self, line: Line) -> Timing:
        """Return the timing of a line of a rating plan; timings that no price uses are never read."""
        if line[2] not in self._timings and line[2] != ANY:
            raise line.refusal(f"there is no timing {line[2]}")
        return timing_of(self._timings[line[2]]) if line[2] in self._timings else ALWAYS

    def _rate_prefix(
        self, prefix: str | None, lines: list[tuple[Line, Line]]
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Return the rates of one prefix of a plan, each with the time band in which it holds."""
        timed = [Timed(line, self._find_timing(line), _parse_weight(line)) for line, _ in lines]
        terms = [self._convert_terms(priced) for _, priced in lines]
        for (_, priced), own in zip(lines, terms, strict=True):
            if own["maximum_micros"] != terms[0]["maximum_micros"]:
                raise priced.refusal(f"prices of {prefix or ANY} differ in MaxCost", "give them one MaxCost")
        for span, days in spans_of(timed, prefix or ANY).items():
            band = None if span.is_always(days) else span.band(lines[span.index][0][2], days, self._timezone)
            yield terms[span.index] | {"destination": prefix, "band": band and band["band"]}, band

    def _convert_terms(self, priced: Line) -> dict[str, Any]:
        """Return the terms of a line of destination rates, each combination once."""
        key = priced.fields[2:7]
        if key not in self._terms:
            if priced[2] not in self._rates:
                raise priced.refusal(f"there is no rate {priced[2]}")
            self._terms[key] = terms_of(priced, self._rates[priced[2]])
        return self._terms[key]


def _parse_weight(line: Line) -> Fraction:
    weight = decimal_of(line[3] or "0")
    if weight is None:
        raise line.refusal(f"{line[3]!r} is not a weight", "write a number like 10")
    return weight
