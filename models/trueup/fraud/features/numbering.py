"""Look up the country of a number, and whether it is a premium number, by the numbering plans of `phonenumbers`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import polars as pl

RANGE_DIGITS = 4
"""Numbers that differ only in this many last digits are one range, with one country and cost."""
_LONGEST_SHORT_CODE = 6
"""In digits without `+`, a number of up to this many digits is a short code and has no country."""
_LONGER = 2
"""A number with up to this many digits too few is still looked up, because networks dial and bill such numbers."""


@lru_cache(maxsize=200_000)
def _find_plan(numbers: str) -> tuple[str | None, bool]:
    """Return the country code of a range, and whether it is premium; no country for an unknown code."""
    import phonenumbers  # The numbering plans take long to import, and a run may have nothing to score.
    from phonenumbers import PhoneNumberType

    costly = (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST)
    country = None
    for short in range(_LONGER + 1):
        try:
            parsed = phonenumbers.parse(numbers + "1" * (RANGE_DIGITS + short))
        except phonenumbers.NumberParseException:
            return country, False
        country, kind = str(parsed.country_code), phonenumbers.number_type(parsed)
        if kind != PhoneNumberType.UNKNOWN:
            return country, kind in costly
    return country, False


def number_facts(numbers: pl.Series, *, home: Sequence[str], costly: Sequence[str]) -> pl.DataFrame:
    """Return one row per number: `country`, `range`, `is_abroad` and `is_premium`, missing for a missing number.

    `home` are prefixes of the own country and `costly` prefixes of premium numbers; both take precedence over the numbering plan. A
    number of unknown country counts as domestic. Where `home` is written in digits without `+`, so are international numbers:

    >>> numbers = pl.Series(["4930123456", "23276123456", "22922"])
    >>> number_facts(numbers, home=["49"], costly=[]).select("country", "is_abroad").rows()
    [('49', False), ('232', True), (None, False)]
    """
    in_digits = bool(home) and not any(prefix.startswith("+") for prefix in home)
    ranges = pl.select(pl.lit(numbers.cast(pl.String)).str.head(-RANGE_DIGITS)).to_series().rename("range")
    different = ranges.unique().drop_nulls().sort().to_list()
    plans = [_find_plan_of_range(r, in_digits=in_digits) for r in different]
    known = pl.DataFrame(
        {"range": different, "country": [c for c, _ in plans], "is_costly": [costs for _, costs in plans]},
        schema={"range": pl.String, "country": pl.String, "is_costly": pl.Boolean},
    )
    facts = pl.DataFrame({"number": numbers, "range": ranges}, schema_overrides={"number": pl.String})
    facts = facts.join(known, on="range", how="left", maintain_order="left")
    at_home = pl.col("country").is_null() | _match_prefix(home, in_digits=in_digits)
    return facts.select(
        "country",
        "range",
        is_abroad=pl.when(pl.col("number").is_not_null()).then(~at_home),
        is_premium=pl.when(pl.col("number").is_not_null()).then(pl.col("is_costly") | _match_prefix(costly, in_digits=in_digits)),
    )


def _find_plan_of_range(numbers: str, *, in_digits: bool) -> tuple[str | None, bool]:
    if numbers.startswith("+"):
        return _find_plan(numbers)
    is_international = in_digits and numbers.isascii() and numbers.isdigit() and len(numbers) + RANGE_DIGITS > _LONGEST_SHORT_CODE
    return _find_plan(f"+{numbers}") if is_international else (None, False)


def _match_prefix(prefixes: Sequence[str], *, in_digits: bool) -> pl.Expr:
    number = pl.col("number").str.strip_prefix("+") if in_digits else pl.col("number")
    written = [prefix.removeprefix("+") for prefix in prefixes] if in_digits else prefixes
    return pl.any_horizontal(pl.lit(value=False), *(number.str.starts_with(prefix) for prefix in written))
