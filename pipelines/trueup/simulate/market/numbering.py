"""Make telephone numbers that cannot be dialled: an unassigned home country code, and real foreign prefixes one digit short."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import phonenumbers
import polars as pl
from numpy.typing import NDArray
from phonenumbers import PhoneNumberType

HOME_CODE = "999"
"""A country code that the ITU has not assigned."""
TEST_IMSI = "00101"
"""Mobile country and network code 001-01, reserved for test networks."""

_REGIONS = ("FR", "ES", "GB", "PL", "TR", "CH", "NG", "BR", "JP", "SN", "LV", "TN")
_TYPES = (
    ("mobile", PhoneNumberType.MOBILE),
    ("fixed", PhoneNumberType.FIXED_LINE),
    ("premium", PhoneNumberType.PREMIUM_RATE),
    ("shared_cost", PhoneNumberType.SHARED_COST),
)
_WEIGHTS = {"mobile": 0.012, "fixed": 0.006, "premium": 0.0003, "shared_cost": 0.0008}
_SPREAD = 7_919


@dataclass(frozen=True)
class Destination:
    """One E.164 prefix, followed by `digits` random digits; `weight` is its share of calls to strangers."""

    prefix: str
    digits: int
    region: str
    kind: str
    weight: float

    @property
    def capacity(self) -> int:
        """Return how many different numbers the destination has."""
        return int(10**self.digits)


HOME_MOBILE = Destination(HOME_CODE + "70", 8, "home", "own", 0.0)
_HOME = (
    Destination(HOME_CODE + "60", 8, "home", "mobile", 0.5),
    Destination(HOME_CODE + "30", 7, "home", "fixed", 0.25),
    Destination(HOME_CODE + "900", 6, "home", "premium", 0.01),
    Destination(HOME_CODE + "180", 6, "home", "shared_cost", 0.02),
)


def dialable(number: str) -> bool:
    """Return whether the numbering plan of the number's country allows the number."""
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(number)))
    except phonenumbers.NumberParseException:
        return False


def _build_foreign_destination(region: str, kind: str, number_type: int) -> Destination | None:
    example = phonenumbers.example_number_for_type(region, number_type)
    if example is None:
        return None
    national = phonenumbers.national_significant_number(example)
    prefix, digits = national[:3], len(national) - 4
    destination = Destination(f"{example.country_code}{prefix}", digits, region, kind, _WEIGHTS[kind])
    # A number one digit short never connects; where a plan also has such short numbers, the destination is left out.
    samples = (f"+{destination.prefix}{n:0{digits}d}" for n in range(0, destination.capacity, max(1, destination.capacity // 97)))
    return None if digits < 4 or any(dialable(s) for s in samples) else destination


@cache
def destinations() -> tuple[Destination, ...]:
    """Return all destinations outside the own network, home ones first; prefixes come from the `phonenumbers` metadata."""
    candidates = (_build_foreign_destination(region, kind, number_type) for region in _REGIONS for kind, number_type in _TYPES)
    by_prefix: dict[str, Destination] = {}
    for destination in candidates:
        if destination is None:
            continue
        prefix = destination.prefix
        if not any(prefix.startswith(p) or p.startswith(prefix) for p in by_prefix):
            by_prefix[prefix] = destination
    return (*_HOME, *by_prefix.values())


@dataclass(frozen=True)
class Numbers:
    """All numbers of the simulation as one column: first the `own` subscribers, then the numbers of each destination.

    `first[d]` and `size[d]` bound the numbers of destination d; `destination` gives that of each number, −1 for own ones.
    """

    text: pl.Series
    own: int
    first: NDArray[np.int64]
    size: NDArray[np.int64]
    destination: NDArray[np.int16]
    cumulative: NDArray[np.float64]

    def strangers(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Draw numbers outside the own network, by the weights of their destinations."""
        chosen = np.searchsorted(self.cumulative, rng.random(count), side="right")
        chosen = np.minimum(chosen, len(self.first) - 1)
        return self.first[chosen] + (rng.random(count) * self.size[chosen]).astype(np.int64)

    def of_kind(self, kind: str, *, home: bool = False) -> list[int]:
        """Return the destinations of a kind, at home or abroad."""
        return [n for n, d in enumerate(destinations()) if d.kind == kind and (d.region == "home") == home]


def numbers_of(own: int) -> Numbers:
    """Return the numbers of a simulation with `own` subscriptions; they are the same for every seed."""
    pools = destinations()
    sizes = np.array([min(d.capacity // 4, max(40, int(own * max(d.weight, 0.002) * 2))) for d in pools], dtype=np.int64)
    first = own + np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    texts = [_format_numbers(HOME_MOBILE, own)] + [_format_numbers(d, int(n)) for d, n in zip(pools, sizes, strict=True)]
    weights = np.array([d.weight for d in pools])
    owner = np.concatenate([np.full(own, -1), np.repeat(np.arange(len(pools)), sizes)]).astype(np.int16)
    return Numbers(pl.concat(texts), own, first, sizes, owner, np.cumsum(weights) / weights.sum())


def _format_numbers(destination: Destination, count: int) -> pl.Series:
    # Multiplication by a prime that shares no factor with a power of ten visits every number once. Foreign ranges stay in order,
    # because robots dial them one after the other.
    step, offset = (_SPREAD, 1_234_567) if destination.region == "home" else (1, 0)
    numbers = pl.Series("number", (np.arange(count, dtype=np.int64) * step + offset) % destination.capacity)
    digits = numbers.cast(pl.String).str.zfill(destination.digits)
    return pl.select(pl.lit(f"+{destination.prefix}") + digits).to_series().rename("number")


def imsi_texts(count: int) -> pl.Series:
    """Return one test-network IMSI per SIM."""
    numbers = pl.Series("imsi", np.arange(count, dtype=np.int64) * _SPREAD % 10**10)
    return pl.select(pl.lit(TEST_IMSI) + numbers.cast(pl.String).str.zfill(10)).to_series().rename("imsi")


def imei_texts(count: int) -> pl.Series:
    """Return one IMEI per handset, with the type allocation code 00 of test equipment."""
    numbers = pl.Series("imei", (np.arange(count, dtype=np.int64) * _SPREAD + 424_242) % 10**13)
    return pl.select(pl.lit("00") + numbers.cast(pl.String).str.zfill(13)).to_series().rename("imei")
