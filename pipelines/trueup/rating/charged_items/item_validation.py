"""Rules by which rows of recurring items, one-off items and discounts are refused."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from trueup.rating.book import DISCOUNT, ONE_OFF, RECURRING
from trueup.units import MICROS

Rule = tuple[str, str, pl.Expr]
"""A reason, the rule in words, and the condition under which a row breaks it."""
_OUT_OF_RANGE, _MISSING, _UNKNOWN = "value_out_of_range", "missing_required", "unknown_reference"
_OF_USAGE = (
    "direction", "zone", "trunk", "destination", "origin", "band", "setup_micros", "price_per", "unit", "first_increment_micros",
    "next_increment_micros", "minimum_micros", "rounding_stage", "weekdays", "from_time", "to_time", "timezone", "calendar",
    "services", "units_micros", "shared", "to_currency",
)  # fmt: skip
"""Columns that have no effect on items charged without usage."""
_OF_CHARGES = ("service", "tax_micros", "tax_included", "rounding", "decimals")
"""Columns of recurring and one-off items that have no effect on discounts: the item that a discount lowers has them."""
_MOST_TAX_MICROS = 100 * MICROS


def item_rules(rows: pl.DataFrame) -> Iterator[Rule]:
    """Yield the rules that a row of `TARIFF` can break by itself; no rule where the book has no items charged without usage."""
    item = pl.col("item")
    charged = item.is_in((RECURRING, ONE_OFF, DISCOUNT))
    if not rows.select(charged.any()).item():
        return
    given = {n for n in (*_OF_USAGE, *_OF_CHARGES, "period") if rows[n].null_count() < rows.height}
    for name in (n for n in _OF_USAGE if n in given):
        yield _OUT_OF_RANGE, f"{name}: has no effect on what is charged without usage", charged & pl.col(name).is_not_null()
    yield (
        _OUT_OF_RANGE,
        "tier_from_micros: has no effect on what is charged without usage",
        charged & (pl.col("tier_from_micros") > 0),
    )
    for name in (n for n in _OF_CHARGES if n in given):
        yield _OUT_OF_RANGE, f"{name}: is that of the item, not of its discount", (item == DISCOUNT) & pl.col(name).is_not_null()
    if "period" in given:
        yield _OUT_OF_RANGE, f"period: is of the item {RECURRING}", item.is_in((ONE_OFF, DISCOUNT)) & pl.col("period").is_not_null()
    yield _OUT_OF_RANGE, "tax_micros: is at most 100 times the price", charged & (pl.col("tax_micros") > _MOST_TAX_MICROS)
    by_30 = (pl.col("proration") == "30") & ~pl.col("period").fill_null("month").is_in(("month", "cycle"))
    yield _OUT_OF_RANGE, "proration: 30 days are of the period month or cycle", by_30
    yield from _limit_discounts(item == DISCOUNT)
    commitment = (item == ONE_OFF) & (pl.col("event") != "termination") & pl.col("months").is_not_null()
    yield _OUT_OF_RANGE, "months: are of a discount, or of the event termination", commitment
    yield _OUT_OF_RANGE, "months: are 1 to 1200", ~pl.col("months").is_between(1, 1200)


def _limit_discounts(of_discount: pl.Expr) -> Iterator[Rule]:
    amount, fraction = pl.col("price_micros"), pl.col("discount_micros")
    yield _MISSING, "discount_micros: a discount has a fraction or a price", of_discount & amount.is_null() & fraction.is_null()
    yield _OUT_OF_RANGE, "discount_micros: is a fraction of 0 to 1", ~fraction.is_between(0, MICROS)
    yield _OUT_OF_RANGE, "price_micros: is not negative for a discount", of_discount & (amount < 0)
    yield _MISSING, "currency: is that of the discount's price", of_discount & amount.is_not_null() & pl.col("currency").is_null()


def unknown_item(book: pl.DataFrame) -> Rule:
    """Return the rule that a discount must apply to an item of the book."""
    accepted = book.filter(pl.col("item").is_in((RECURRING, ONE_OFF)) & pl.col("rule").is_null())
    return _UNKNOWN, "applies_to: is an item of the book", ~pl.col("applies_to").is_in(accepted["name"].unique().implode())


def item_of_two_kinds(book: pl.DataFrame) -> Rule:
    """Return the rule that a recurring and a one-off item must not share a name: a charge names only the item."""
    accepted = book.filter(pl.col("rule").is_null())
    recurring, one_off = (accepted.filter(pl.col("item") == kind)["name"].unique() for kind in (RECURRING, ONE_OFF))
    both = recurring.filter(recurring.is_in(one_off.implode()))
    of_both = pl.col("item").is_in((RECURRING, ONE_OFF)) & pl.col("name").is_in(both.implode())
    return _OUT_OF_RANGE, "name: is that of a recurring or of a one-off item, not of both", of_both
