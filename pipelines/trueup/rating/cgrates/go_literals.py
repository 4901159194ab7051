"""Read durations, decimals and times of day in the notation of Go, exactly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

SECONDS, UNITS = "s", "unit"
_OF_A_SECOND = {
    "ns": Fraction(1, 10**9), "us": Fraction(1, 10**6), "µs": Fraction(1, 10**6), "ms": Fraction(1, 1000), "s": Fraction(1),
    "m": Fraction(60), "h": Fraction(3600),
}  # fmt: skip
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_DECIMAL = re.compile(r"-?(\d+(\.\d*)?|\.\d+)")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d:00")


@dataclass(frozen=True)
class Quantity:
    """A quantity: a number of seconds where the unit is `s`, otherwise of units."""

    number: Fraction
    unit: str


def quantity_of(text: str) -> Quantity | None:
    """Return a duration (`60s`, `1m30s`) or a bare number of units (`1024`); None for anything else."""
    if re.fullmatch(_DECIMAL, text) and not text.startswith("-"):
        return Quantity(Fraction(text), UNITS)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return Quantity(sum((Fraction(number) * _OF_A_SECOND[unit] for number, unit in parts), Fraction(0)), SECONDS)


def decimal_of(text: str) -> Fraction | None:
    """Return a decimal number; None for anything else."""
    return Fraction(text) if _DECIMAL.fullmatch(text) else None


def clock_of(text: str) -> str | None:
    """Return `HH:MM` of `HH:MM:00`; None for anything else."""
    return text[:5] if _CLOCK.fullmatch(text) else None
