"""Define the services of the simulated operator: flat prices, matching rules, plans and tariff codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

CURRENCY = "EUR"
FOREIGN_CURRENCY = "USD"
EXCHANGE_MICROS = 1_080_000
"""US dollars per euro, in millionths; the currency mistakes use this rate."""


@dataclass(frozen=True)
class Service:
    """One service: prices are millionths of the currency for `price_per` whole units of `unit`."""

    name: str
    unit: str
    feed: str
    price_micros: int
    former_price_micros: int
    coming_price_micros: int
    price_per: int
    match: tuple[str, ...]
    start_tolerance_s: int
    quantity_tolerance: int
    grace_h: int
    part_s: int
    """Seconds after which the element opens another partial record of a session; 0: never."""
    keyed_share: float
    """Share of sessions whose charge carries the session key."""
    billed: bool
    """Whether billing charges the service."""

    @property
    def nearest(self) -> bool:
        """Return whether the service matches records without a session key by nearest start."""
        return "nearest" in self.match


_NEAREST = ("session_key", "nearest")
_KEY = ("session_key",)

SERVICES = (
    Service("voice", "s", "msc", 79_000, 99_000, 69_000, 60, _NEAREST, 2, 1, 36, 1_800, 0.6, True),
    Service("sms", "message", "msc", 50_000, 70_000, 40_000, 1, _NEAREST, 3, 0, 24, 0, 0.0, True),
    Service("incoming", "s", "msc", 0, 0, 0, 60, _KEY, 0, 0, 24, 0, 0.0, False),
    Service("data", "kB", "pgw", 3_500, 4_900, 2_500, 1_000, _KEY, 0, 0, 36, 3_600, 1.0, True),
    Service("zero_rated", "kB", "pgw", 0, 0, 0, 1_000, _KEY, 0, 0, 36, 3_600, 1.0, True),
    Service("roaming", "s", "tap", 490_000, 590_000, 390_000, 60, _NEAREST, 5, 1, 48, 1_800, 0.7, True),
    Service("iot", "kB", "iot", 20_000, 30_000, 10_000, 1_000, ("aggregate",), 0, 0, 36, 0, 0.0, True),
)  # fmt: skip
NAMES = tuple(s.name for s in SERVICES)
VOICE, SMS, INCOMING, DATA, ZERO_RATED, ROAMING, IOT = range(len(SERVICES))

AMOUNT_TOLERANCE_MICROS = 5_000
USAGE_LATENESS_H = 24
"""Longer than the time that any usage file covers, so no record is late, in whatever order elements deliver."""
BILLING_LATENESS_H = 12

PLANS = ("PAYG", "FLEX", "BIZ", "M2M", "WHS", "TEST")
PAYG, FLEX, BIZ, M2M, WHS, TEST = range(len(PLANS))
TARIFF_CODES = tuple(f"{plan}-{service.name.upper()}" for plan in PLANS for service in SERVICES)


def tariff_of(plan: Ints, service: Ints) -> Ints:
    """Return the number in `TARIFF_CODES` of each (plan, service)."""
    return plan * len(SERVICES) + service


def column(field: str) -> Ints:
    """Return one numeric field of all services, indexed by service number."""
    return np.array([int(getattr(s, field)) for s in SERVICES], dtype=np.int64)


PRICE_MICROS, PRICE_PER = column("price_micros"), column("price_per")


def half_even(numerator: Ints, denominator: Ints) -> Ints:
    """Return `numerator / denominator` of whole numbers, rounded half to even; both must be ≥ 0 and below 2**62."""
    quotient, remainder = np.divmod(numerator, denominator)
    rounds_up = (2 * remainder > denominator) | ((2 * remainder == denominator) & (quotient % 2 == 1))
    rounded: Ints = quotient + rounds_up
    return rounded


def flat_price(service: Ints, quantity: Ints, price_micros: Ints = PRICE_MICROS) -> Ints:
    """Return the price of whole units in millionths of the currency: price × quantity / price_per, rounded once."""
    return half_even(price_micros[service] * quantity, PRICE_PER[service])
