"""Rates and destination rates of CGRateS as terms of a rate: price, increments, set-up fee, rounding and maximum."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

from trueup.rating.cgrates.go_literals import decimal_of, quantity_of
from trueup.rating.cgrates.lines import Line
from trueup.units import MICROS

_ROUNDINGS = {"*up": "up", "*down": "down", "*middle": "half_up"}
_FREE, _DISCONNECT = "*free", "*disconnect"


def terms_of(priced: Line, rates: list[Line]) -> dict[str, Any]:
    """Return the terms of a line of destination rates; `rates` are the lines of its rate.

    Raises `TrueupError`, with file and line, for a term that a tariff book cannot express exactly.
    """
    terms = _convert_slots(rates) | _convert_rounding(priced) | {"maximum_micros": _parse_maximum(priced)}
    fee, decimals = terms["setup_micros"], terms["decimals"]
    if decimals is not None and fee % 10 ** (6 - decimals):
        raise priced.refusal(
            "the connect fee has more decimals than costs are rounded to", "round costs to as many decimals as the fee has"
        )
    return terms


def _parse_maximum(priced: Line) -> int | None:
    """Return the maximum price of a record in millionths; None without a maximum.

    Only `*free` limits the price of a record. `*disconnect` ends a call of a prepaid account at that cost, and does not change
    the price of a call that was recorded.
    """
    cost, strategy = decimal_of(priced[5] or "0"), priced[6]
    if cost is None or cost < 0 or (cost * MICROS).denominator != 1:
        raise priced.refusal(f"{priced[5]!r} is not a greatest cost of a call", "write it like 1.5, with six decimals at most")
    if strategy not in ("", _FREE, _DISCONNECT):
        raise priced.refusal(f"the strategy {strategy!r} is unknown", f"write {_FREE} or {_DISCONNECT}")
    if cost and not strategy:
        raise priced.refusal("a MaxCost without MaxCostStrategy has no effect", f"add {_FREE} or {_DISCONNECT}, or leave it empty")
    return int(cost * MICROS) if cost and strategy == _FREE else None


def _convert_rounding(priced: Line) -> dict[str, Any]:
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


def _convert_slots(lines: list[Line]) -> dict[str, Any]:
    """Make one rate of the slots: a first increment with its own price becomes a set-up fee beside the price of the rest."""
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
                "a rate, its unit, its increment or its start is not a number or duration", "write them like 0.1,60s,1s,0s"
            )
        units |= {q.unit for q in (per, step, begins) if q.number}
        slots.append(_Slot(begins.number, rate * MICROS / (per.number or 1), step.number))
    fee = decimal_of(lines[0][1] or "0")
    slots.sort(key=lambda slot: slot.begins)
    if fee is None or len(units) != 1 or slots[0].begins != 0:
        raise lines[0].refusal(f"rate {lines[0][0]} has no fee, no one unit or no start at 0 that can be read")
    later = _list_later_slots(lines, slots)
    # A dearer first increment alone is a set-up fee beside the price of the rest.
    first, last = slots[0], slots[0] if later else slots[-1]
    setup = fee * MICROS + (first.price - last.price) * first.step
    numbers = [setup, first.step * MICROS, last.step * MICROS]
    common = lcm(*(slot.price.denominator for slot in ([first, *later] if later else [last])))
    if any(number.denominator != 1 for number in numbers) or common > 10**9:
        raise lines[0].refusal(f"rate {lines[0][0]} is finer than millionths")
    setup_micros, first_micros, next_micros = map(int, numbers)
    written = "; ".join(
        f"{_format_decimal(slot.begins)}: {_format_decimal(slot.price * common / MICROS)}/{_format_decimal(slot.step)}"
        for slot in later
    )
    return {
        "setup_micros": setup_micros, "price_micros": int(last.price * common), "price_per": common,
        "unit": units.pop(), "first_increment_micros": first_micros, "next_increment_micros": next_micros, "slots": written or None,
    }  # fmt: skip


def _list_later_slots(lines: list[Line], slots: list[_Slot]) -> list[_Slot]:
    """Return the slots after the first; none where the only later slot begins right after the first increment."""
    if len(slots) == 1 or (len(slots) == 2 and slots[0].step == slots[1].begins):
        return []
    if len({slot.begins for slot in slots}) < len(slots):
        raise lines[-1].refusal(f"rate {lines[0][0]} has two slots that begin at once", "let each GroupIntervalStart differ")
    if any((number * MICROS).denominator != 1 for slot in slots for number in (slot.begins, slot.step)):
        raise lines[-1].refusal(f"rate {lines[0][0]} is finer than millionths")
    return slots[1:]


def _format_decimal(number: Fraction) -> str:
    """Return a number as a decimal with as many decimals as it needs, six at most."""
    whole, rest = divmod(round(number * MICROS), MICROS)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
