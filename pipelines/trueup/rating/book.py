"""The tariff book: effective-dated rates, bands, holidays, allowances, exchange rates and ported numbers, as known at one moment.

A row is an *item*. Its *key* identifies what it prices; its validity is the time in which the price holds. Where two rows have the
same key and beginning, the row known later replaces the earlier, and a later beginning ends an open validity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from math import lcm
from typing import Self

import polars as pl

from trueup.errors import TrueupError
from trueup.events.schema import UTC_TIME
from trueup.party_numbers import international_digits
from trueup.rating.slots import slots_of

RATE, BAND, HOLIDAY, ALLOWANCE, EXCHANGE, PORTED = "rate", "band", "holiday", "allowance", "exchange", "ported"
RECURRING, ONE_OFF, DISCOUNT = "recurring", "one_off", "discount"
"""Items that are charged without usage, see `trueup.rating.charged_items.items`."""
ITEMS = (RATE, BAND, HOLIDAY, ALLOWANCE, EXCHANGE, PORTED, RECURRING, ONE_OFF, DISCOUNT)
ROUNDINGS = ("half_even", "half_up", "up", "down")
STAGES = ("increment", "record", "total")
BY_INCREMENT, BY_START = "increment", "start"
PRICED_AT = (BY_INCREMENT, BY_START)
"""The instant whose price an increment has: its own beginning (the default), or the beginning of the record."""
DUE = ("advance", "arrears")
PRORATIONS = ("day", "none", "30")
SUSPENDED = ("charged", "free")
LIFE_EVENTS = ("activation", "termination", "plan_change", "sim_change")
MOST_PER = 10**18
EVER_US, NEVER_US = -(2**62), 2**62
"""Instants before and after every valid instant."""

TARIFF: dict[str, pl.DataType] = {
    "item": pl.String(),
    "tariff_code": pl.String(),
    "plan": pl.String(),
    "service": pl.String(),
    "direction": pl.String(),
    "zone": pl.String(),
    "trunk": pl.String(),
    "destination": pl.String(),  # an E.164 prefix of the other party's number
    "origin": pl.String(),  # an E.164 prefix of the subscriber's own number
    "band": pl.String(),
    "valid_from": UTC_TIME,
    "valid_to": UTC_TIME,
    "currency": pl.String(),
    "setup_micros": pl.Int64(),
    "price_micros": pl.Int64(),
    "price_per": pl.Int64(),
    "unit": pl.String(),  # "s": time that passes; anything else: a volume at one instant
    "first_increment_micros": pl.Int64(),
    "next_increment_micros": pl.Int64(),
    "minimum_micros": pl.Int64(),
    "maximum_micros": pl.Int64(),
    "chargeable_from_micros": pl.Int64(),  # a record of a lesser quantity costs nothing
    "free_first_micros": pl.Int64(),  # the quantity at the beginning of a record that is free
    "priced_at": pl.String(),  # one of `PRICED_AT`
    "tier_from_micros": pl.Int64(),
    "rounding": pl.String(),
    "decimals": pl.Int64(),
    "rounding_stage": pl.String(),
    "tax_micros": pl.Int64(),
    "tax_included": pl.Boolean(),
    "weekdays": pl.String(),
    "from_time": pl.String(),
    "to_time": pl.String(),
    "timezone": pl.String(),
    "calendar": pl.String(),
    "name": pl.String(),
    "services": pl.String(),
    "units_micros": pl.Int64(),
    "shared": pl.String(),
    "period": pl.String(),
    "to_currency": pl.String(),
    "rated_as": pl.String(),  # the number by whose price calls to the ported number `destination` are rated
    "due": pl.String(),  # of a recurring item: one of `DUE`
    "proration": pl.String(),  # of a recurring item: one of `PRORATIONS`
    "suspended": pl.String(),  # of a recurring item: one of `SUSPENDED`
    "event": pl.String(),  # of a one-off item: one of `LIFE_EVENTS`
    "applies_to": pl.String(),  # of a discount: the item that it lowers
    "discount_micros": pl.Int64(),  # of a discount: the fraction that it takes off
    "months": pl.Int64(),  # of a discount: how long it lasts; of a termination: the commitment
    "slots": pl.String(),  # of a rate: later prices within a record, see `trueup.rating.slots`
}
"""A row of a tariff book; NULL means "any", "none" or the default. Amounts are millionths of `currency`, quantities of `unit`."""

LARGEST = {"first_increment_micros": 2**61, "next_increment_micros": 2**61, "price_per": 10**18}
"""The largest values of columns that must be at least 1; up to them, sums and multiples fit 64 bits."""
DECK = ["plan", "service", "direction", "zone", "trunk"]
PREFIXES = ("destination", "origin", "rated_as")
PRICED_KEY = [*DECK, "destination", "origin", "band"]
"""The key of a price; its tiers have the same key."""
KEYS: dict[str, list[str]] = {
    RATE: [*PRICED_KEY, "tier_from_micros"],
    BAND: ["band", "weekdays", "from_time", "to_time", "timezone", "calendar"],
    HOLIDAY: ["calendar", "valid_from"],
    ALLOWANCE: ["plan", "name", "destination", "zone"],
    EXCHANGE: ["currency", "to_currency"],
    PORTED: ["destination"],
    RECURRING: ["plan", "name"],
    ONE_OFF: ["plan", "name"],
    DISCOUNT: ["plan", "name", "applies_to"],
}
"""The key of each item; two rows with one key are versions of one another."""


@dataclass(frozen=True)
class Book:
    """All known prices; each frame has `from_us` and `to_us` (exclusive), versions of one key do not overlap.

    `rates` has `rate`, the number of the row. A rate with `tier_from_micros` > 0 replaces only the price of the rate without it,
    for the volume beyond. `shift_us` moves every band in time, to test an error hypothesis.
    """

    rates: pl.DataFrame
    bands: pl.DataFrame
    holidays: pl.DataFrame
    allowances: pl.DataFrame
    exchange: pl.DataFrame
    ported: pl.DataFrame
    shift_us: int = 0

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Self:
        """Build the book from rows of `TARIFF`, in the order in which they became known."""
        rows_of_tariff = normalized_rows(rows)
        if rows_of_tariff.select(pl.any_horizontal(~pl.col(n).is_between(1, most) for n, most in LARGEST.items()).any()).item():
            names = ", ".join(LARGEST)
            raise TrueupError(f"a row of the tariff book has no usable {names}", todo="let each be at least 1 and fit 64 bits")
        parts = {item: _list_versions(rows_of_tariff.filter(pl.col("item") == item), KEYS[item]) for item in ITEMS}
        rates = parts[RATE].with_row_index("rate").with_columns(
            pl.col("rate").cast(pl.Int64), pl.col("price_micros", "setup_micros", "tax_micros").fill_null(0),
            pl.col("price_per").fill_null(1), pl.col("tax_included").fill_null(False),
        )  # fmt: skip
        exchange = parts[EXCHANGE].with_columns(pl.col("price_per").fill_null(1))
        ported = parts[PORTED].select("destination", "rated_as", "from_us", "to_us")
        return cls(rates, parts[BAND], parts[HOLIDAY], parts[ALLOWANCE].sort("name", maintain_order=True), exchange, ported)

    @cached_property
    def decks(self) -> pl.DataFrame:
        """Combinations of `DECK` that have a price, each with a `deck` number and a `rank`: the least rank is the most specific."""
        weight = {"plan": 8, "trunk": 4, "zone": 2, "direction": 1}
        rank = pl.sum_horizontal(pl.col(n).is_null().cast(pl.Int64) * w for n, w in weight.items())
        decks = self.rates.select(DECK).unique().sort(DECK, nulls_last=True).with_columns(rank=rank)
        return decks.with_row_index("deck").with_columns(pl.col("deck").cast(pl.Int64))

    @cached_property
    def priced(self) -> pl.DataFrame:
        """The rates without tiers (`rate`, `deck`, `prefix`, `origin`, `banded`, `band`, `from_us`, `to_us`)."""
        base = self.rates.filter(pl.col("tier_from_micros") == 0).join(self.decks, on=DECK, nulls_equal=True)
        return base.select(
            "rate",
            "deck",
            "band",
            "from_us",
            "to_us",
            "origin",
            prefix=pl.col("destination").fill_null(""),
            banded=pl.col("band").is_not_null(),
        )

    @cached_property
    def origins(self) -> pl.DataFrame:
        """Each origin of `priced` (`longest`) with every other one that is a prefix of it (`origin`); "" stands for any origin.

        Empty where no price depends on the origin. A number has the origins of the longest origin that it begins with.
        """
        known = {"", *self.priced["origin"].drop_nulls()}
        chains = [(long, long[:n]) for long in sorted(known) for n in range(len(long) + 1) if long[:n] in known]
        return pl.DataFrame(chains if len(known) > 1 else [], schema={"longest": pl.String, "origin": pl.String}, orient="row")

    @cached_property
    def slots(self) -> pl.DataFrame:
        """The later prices within records, as `SLOT` rows; their numbers follow those of the rates."""
        return slots_of(self.rates)

    @cached_property
    def common_per(self) -> int:
        """The least common multiple of all `price_per`: the common denominator of sums of prices."""
        per = reduce(lcm, self.rates["price_per"].unique().to_list(), 1)
        if per > MOST_PER:
            raise TrueupError(
                "the prices of the tariff book are per too many different numbers of units to be added exactly",
                todo="use fewer values of price_per",
            )
        return per

    @cached_property
    def tiered(self) -> bool:
        """Whether some price depends on the volume of the period."""
        return bool((self.rates["tier_from_micros"] > 0).any())

    @cached_property
    def has_start_terms(self) -> bool:
        """Whether the rate in force when a record begins can decide what is charged later."""
        free = pl.max_horizontal("chargeable_from_micros", "free_first_micros").fill_null(0) > 0
        return bool(self.rates.select((free | (pl.col("priced_at") == BY_START)).any()).item())

    @property
    def has_shared_terms(self) -> bool:
        """Whether the price of a record can depend on others of its period."""
        return self.tiered or not self.allowances.is_empty()


def normalized_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with all columns of `TARIFF`, with prefixes and first tiers in one notation."""
    typed = rows.select(pl.col(n).cast(t) if n in rows.columns else pl.lit(None, t).alias(n) for n, t in TARIFF.items())
    given = [n for n in PREFIXES if typed[n].null_count() < typed.height]
    return typed.with_columns(
        *(international_digits(pl.col(n)).str.strip_prefix("+").replace("", None).alias(n) for n in given),
        tier_from_micros=pl.col("tier_from_micros").fill_null(0),
    )


def _list_versions(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Return the rows of one item with `from_us` and `to_us`.

    Superseded rows are left out; an open validity ends where the next begins.
    """
    begins = pl.col("valid_from").cast(pl.Int64)
    names = [*dict.fromkeys([*key, "valid_from"])]
    last = rows.with_row_index("known").unique(names, keep="last", maintain_order=True).sort(*names, nulls_last=True)
    following = begins.shift(-1).over(key) if key != names else pl.lit(None, pl.Int64)
    valid_to = pl.col("valid_to").cast(pl.Int64)
    return last.with_columns(from_us=begins, to_us=pl.min_horizontal(valid_to, following).fill_null(NEVER_US)).drop("known")
