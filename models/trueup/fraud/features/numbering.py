"""Look up the country of a number, and whether it is a premium number, by the numbering plans of `phonenumbers`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import polars as pl

RANGE_DIGITS = 4
"""Numbers that differ only in this many last digits are one range, with one country and cost."""
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
    number of unknown country counts as domestic.
    """
    ranges = pl.select(pl.lit(numbers.cast(pl.String)).str.head(-RANGE_DIGITS)).to_series().rename("range")
    different = ranges.unique().drop_nulls().sort().to_list()
    plans = [_find_plan(r) if r.startswith("+") else (None, False) for r in different]
    known = pl.DataFrame(
        {"range": different, "country": [c for c, _ in plans], "is_costly": [costs for _, costs in plans]},
        schema={"range": pl.String, "country": pl.String, "is_costly": pl.Boolean},
    )
    facts = pl.DataFrame({"number": numbers, "range": ranges}, schema_overrides={"number": pl.String})
    facts = facts.join(known, on="range", how="left", maintain_order="left")
    at_home = pl.col("country").is_null() | _match_prefix(home)
    return facts.select(
        "country",
        "range",
        is_abroad=pl.when(pl.col("number").is_not_null()).then(~at_home),
        is_premium=pl.when(pl.col("number").is_not_null()).then(pl.col("is_costly") | _match_prefix(costly)),
    )


def _match_prefix(prefixes: Sequence[str]) -> pl.Expr:
    return pl.any_horizontal(pl.lit(value=False), *(pl.col("number").str.starts_with(p) for p in prefixes))
