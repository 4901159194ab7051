"""What a number is by its beginning: country, and whether calling it costs extra. From the numbering plans of `phonenumbers`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import phonenumbers
import polars as pl
from phonenumbers import PhoneNumberType

RANGE_DIGITS = 4
"""A range of numbers is all that differ in no more than their last digits."""
_COSTLY = frozenset({PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST})
_LONGER = 2
"""A number may be so many digits short of one in service, and still be dialled and billed."""


@lru_cache(maxsize=1_000_000)
def _plan(number: str) -> tuple[str | None, bool]:
    """The country code, and whether the number is of a range that costs extra."""
    for short in range(_LONGER + 1):
        try:
            parsed = phonenumbers.parse(number + "1" * short)
        except phonenumbers.NumberParseException:
            return None, False
        kind = phonenumbers.number_type(parsed)
        if kind != PhoneNumberType.UNKNOWN:
            return str(parsed.country_code), kind in _COSTLY
    return str(phonenumbers.parse(number).country_code), False


def number_facts(numbers: pl.Series, *, home: Sequence[str], costly: Sequence[str]) -> pl.DataFrame:
    """For each number: `country`, `is_abroad`, `is_premium` and `range`, missing where the number is.

    `home` are prefixes of the own country, `costly` further ones that cost extra; both decide before any numbering plan.
    """
    different = numbers.unique().drop_nulls().sort()
    rows = []
    for number in different.to_list():
        country, premium = _plan(number) if number.startswith("+") else (None, False)
        at_home = country is None or number.startswith(tuple(home))
        rows.append((number, country, not at_home, premium or number.startswith(tuple(costly))))
    schema = {"number": pl.String, "country": pl.String, "is_abroad": pl.Boolean, "is_premium": pl.Boolean}
    known = pl.DataFrame(rows, schema=schema, orient="row")
    facts = numbers.to_frame("number").join(known, on="number", how="left", maintain_order="left")
    return facts.select("country", "is_abroad", "is_premium", range=pl.col("number").str.head(-RANGE_DIGITS))
