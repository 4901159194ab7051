"""Rules by which rows of a tariff book are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import lcm

import polars as pl

from trueup.localtime import DAY_US
from trueup.rating.bands import minute_of, weekdays_of
from trueup.rating.book import (
    ALLOWANCE,
    BAND,
    DISCOUNT,
    DUE,
    EXCHANGE,
    HOLIDAY,
    ITEMS,
    KEYS,
    LARGEST,
    LIFE_EVENTS,
    MOST_PER,
    ONE_OFF,
    PORTED,
    PREFIXES,
    PRICED_AT,
    PRORATIONS,
    RATE,
    RECURRING,
    ROUNDINGS,
    STAGES,
    SUSPENDED,
    normalized_rows,
)
from trueup.rating.charged_items.item_validation import item_of_two_kinds, item_rules, unknown_item
from trueup.rating.slots import slots_in
from trueup.zones import check_zone

REFUSAL: dict[str, pl.DataType] = {"source_row": pl.Int64(), "reason": pl.String(), "rule": pl.String()}
"""A row that is refused, with the first rule it breaks; the text of a rule is the condition that should have held."""
MISSING, OUT_OF_RANGE, REPEATED = "missing_required", "value_out_of_range", "repeated_key"
UNKNOWN, OVERLAPPING, GAPPED = "unknown_reference", "overlapping_validity", "gapped_validity"
_REQUIRED: dict[str, tuple[str, ...]] = {
    RATE: ("service", "price_micros", "currency"),
    BAND: ("band",),
    HOLIDAY: (),
    ALLOWANCE: ("name", "services", "units_micros"),
    EXCHANGE: ("currency", "to_currency", "price_micros"),
    PORTED: ("destination", "rated_as"),
    RECURRING: ("name", "service", "price_micros", "currency"),
    ONE_OFF: ("name", "service", "price_micros", "currency", "event"),
    DISCOUNT: ("name",),
}
_OF_ONE_ITEM = {
    "origin": RATE, "maximum_micros": RATE, "chargeable_from_micros": RATE, "free_first_micros": RATE, "priced_at": RATE,
    "rated_as": PORTED, "due": RECURRING, "proration": RECURRING, "suspended": RECURRING, "event": ONE_OFF,
    "applies_to": DISCOUNT, "discount_micros": DISCOUNT, "slots": RATE,
}  # fmt: skip
"""Columns that only one kind of item may have."""
_CHOICES = {
    "item": ITEMS, "rounding": ROUNDINGS, "rounding_stage": STAGES, "period": ("day", "week", "month", "cycle"),
    "shared": ("account", "subscriber"),
}  # fmt: skip
_CHOICES_OF_ONE_ITEM = {
    "priced_at": PRICED_AT, "due": DUE, "proration": PRORATIONS, "suspended": SUSPENDED, "event": LIFE_EVENTS,
}  # fmt: skip
_MINUTE_US = 60_000_000
_WITH_GAPS = (PORTED, DISCOUNT)
"""Items whose versions may have gaps between them: a ported number returns, a campaign is repeated."""
_PREFIX = "^[0-9]{1,15}$"
_Rule = tuple[str, str, pl.Expr]
"""A reason, the rule in words, and the condition under which a row breaks it."""


def refusals(known: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Return a `REFUSAL` for each row of `new` that contradicts itself, the other rows or the `known` book.

    Both frames have the columns of `TARIFF`. A refused row defines no band and no version of a price.
    """
    rows = normalized_rows(new).with_columns(
        new["source_row"].cast(pl.Int64), reason=pl.lit(None, pl.String), rule=pl.lit(None, pl.String)
    )
    past = normalized_rows(known).with_columns(
        source_row=pl.lit(None, pl.Int64), reason=pl.lit(None, pl.String), rule=pl.lit(None, pl.String)
    )  # fmt: skip
    rows = _mark_broken_rules(rows, [*_require_values(), *_limit_values(rows, past)])
    rows = _mark_broken_rules(rows, [_refuse_repeated_keys(item) for item in ITEMS if (rows["item"] == item).any()])
    book = pl.concat([past, rows]).with_row_index("known")
    for rules in (_require_calendars, _require_bands, _require_base_rates, _require_plans, item_of_two_kinds, unknown_item):
        book = _mark_broken_rules(book, [rules(book)])
    book = _mark_gaps(book)
    return book.drop_nulls(["source_row", "reason"]).sort("source_row").select(*REFUSAL)


def _mark_broken_rules(rows: pl.DataFrame, rules: list[_Rule]) -> pl.DataFrame:
    """Add to each row not refused so far the first rule that it breaks."""
    reason, rule = pl.col("reason"), pl.col("rule")
    for why, what, broken in rules:
        breaks = rule.is_null() & broken.fill_null(False)
        reason, rule = pl.when(breaks).then(pl.lit(why)).otherwise(reason), pl.when(breaks).then(pl.lit(what)).otherwise(rule)
        rows = rows.with_columns(reason.alias("reason"), rule.alias("rule"))
        reason, rule = pl.col("reason"), pl.col("rule")
    return rows


def _require_values() -> Iterator[_Rule]:
    for name in ("item", "valid_from"):
        yield MISSING, f"{name}: is there", pl.col(name).is_null()
    for item, names in _REQUIRED.items():
        yield from ((MISSING, f"{name}: is there", (pl.col("item") == item) & pl.col(name).is_null()) for name in names)


def _limit_values(rows: pl.DataFrame, past: pl.DataFrame) -> Iterator[_Rule]:
    for name, choices in _CHOICES.items():
        yield OUT_OF_RANGE, f"{name}: is one of {', '.join(choices)}", ~pl.col(name).is_in(choices)
    for name, most in LARGEST.items():
        yield OUT_OF_RANGE, f"{name}: is at least 1 and fits 64 bits", ~pl.col(name).is_between(1, most)
    for name in ("tax_micros", "tier_from_micros", "units_micros"):
        yield OUT_OF_RANGE, f"{name}: is not negative", pl.col(name) < 0
    yield OUT_OF_RANGE, "price_micros: is more than 0 for an exchange", (pl.col("item") == EXCHANGE) & (pl.col("price_micros") <= 0)
    yield OUT_OF_RANGE, "decimals: is 0 to 6", ~pl.col("decimals").is_between(0, 6)
    yield OUT_OF_RANGE, "valid_to: is after valid_from", pl.col("valid_to") <= pl.col("valid_from")
    whole = pl.col("valid_from", "valid_to").cast(pl.Int64) % _MINUTE_US == 0
    yield (
        OUT_OF_RANGE,
        "valid_from: a band begins and ends on whole minutes",
        (pl.col("item") == BAND) & ~pl.all_horizontal(whole.fill_null(True)),
    )
    # A local midnight east of Greenwich lies on the UTC day before, so it would name another day.
    yield (
        OUT_OF_RANGE,
        "valid_from: a holiday is its date at 00:00 UTC",
        (pl.col("item") == HOLIDAY) & (pl.col("valid_from").cast(pl.Int64) % DAY_US != 0),
    )
    yield from _limit_prefix("destination")
    yield from _limit_terms_to_items([name for name in _OF_ONE_ITEM if rows[name].null_count() < rows.height])
    readers = {"weekdays": weekdays_of, "from_time": minute_of, "to_time": minute_of, "timezone": check_zone, "slots": slots_in}
    for name, read in readers.items():
        yield OUT_OF_RANGE, f"{name}: can be read", pl.col(name).is_in(_find_unreadable_texts(rows[name], read))
    shared_cycle = (pl.col("period") == "cycle") & (pl.col("shared") == "account")
    # Subscribers of one account may have different cycles.
    yield OUT_OF_RANGE, "period: a cycle is of one subscriber, not shared by the account", shared_cycle
    yield from item_rules(rows)
    yield (
        OUT_OF_RANGE,
        "price_per: has a common multiple with the others",
        pl.col("price_per").is_in(_find_uncommon_multiples(rows, past)),
    )


def _limit_prefix(name: str) -> Iterator[_Rule]:
    yield OUT_OF_RANGE, f"{name}: is a prefix of up to 15 digits", ~pl.col(name).str.contains(_PREFIX)
    # Numbers are compared without their international mark, so this prefix would match none.
    yield OUT_OF_RANGE, f"{name}: is more than the mark 00 of an international number", pl.col(name) == "00"


def _limit_terms_to_items(given: list[str]) -> Iterator[_Rule]:
    """Yield the rules of those columns of `_OF_ONE_ITEM` that some row has; most books use none of these columns."""
    for name in given:
        item, kind = _OF_ONE_ITEM[name], pl.col("item")
        yield OUT_OF_RANGE, f"{name}: is of the item {item}", (kind != item) & pl.col(name).is_not_null()
        if name in PREFIXES:
            yield from _limit_prefix(name)
        elif name.endswith("_micros"):
            yield OUT_OF_RANGE, f"{name}: is not negative", pl.col(name) < 0
        elif name in _CHOICES_OF_ONE_ITEM:
            choices = _CHOICES_OF_ONE_ITEM[name]
            yield OUT_OF_RANGE, f"{name}: is one of {', '.join(choices)}", ~pl.col(name).is_in(choices)
    if "slots" in given:
        yield OUT_OF_RANGE, "slots: is none of a tier", pl.col("tier_from_micros") > 0
    if "maximum_micros" in given:
        yield OUT_OF_RANGE, "maximum_micros: is not below minimum_micros", pl.col("maximum_micros") < pl.col("minimum_micros")


def _find_unreadable_texts(texts: pl.Series, read: Callable[[str], object]) -> list[str]:
    """Return the distinct texts that `read` refuses."""

    def fails(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return True
        return False

    return [text for text in texts.drop_nulls().unique().to_list() if fails(text)]


def _find_uncommon_multiples(rows: pl.DataFrame, past: pl.DataFrame) -> list[int]:
    """Return the values of `price_per` whose common multiple with the earlier values is too large."""
    per, bad = 1, []
    for value in pl.concat([past["price_per"], rows["price_per"]]).drop_nulls().unique(maintain_order=True).to_list():
        both = lcm(per, value) if value > 0 else per
        if both > MOST_PER:
            bad.append(value)
        else:
            per = both
    return bad


def _refuse_repeated_keys(item: str) -> _Rule:
    """Refuse the later of two rows with the same key and beginning within one source unit."""
    names = [*dict.fromkeys([*KEYS[item], "valid_from"])]
    accepted = (pl.col("item") == item) & pl.col("rule").is_null()
    earlier = accepted.cast(pl.Int64).cum_sum().over(["item", *names]) > 1
    return REPEATED, f"{', '.join(names)}: are told once", accepted & earlier


def _select_accepted(book: pl.DataFrame, item: str) -> pl.DataFrame:
    return book.filter((pl.col("item") == item) & pl.col("rule").is_null())


def _require_calendars(book: pl.DataFrame) -> _Rule:
    calendars = _select_accepted(book, HOLIDAY)["calendar"].unique()
    meant = pl.col("calendar").is_not_null() | pl.col("weekdays").str.contains("hol", literal=True)
    has_holidays = pl.col("calendar").is_in(calendars.implode(), nulls_equal=True)
    return UNKNOWN, "calendar: has holidays", (pl.col("item") == BAND) & meant & ~has_holidays


def _require_bands(book: pl.DataFrame) -> _Rule:
    bands = _select_accepted(book, BAND)["band"].unique()
    return UNKNOWN, "band: is a band of the book", (pl.col("item") == RATE) & ~pl.col("band").is_in(bands.implode())


def _require_base_rates(book: pl.DataFrame) -> _Rule:
    key = [n for n in KEYS[RATE] if n != "tier_from_micros"]
    # Volume tiers replace one price: a rate with several prices within a record can have none.
    one_price = (pl.col("tier_from_micros") == 0) & pl.col("slots").is_null()
    base = (pl.col("item") == RATE) & pl.col("rule").is_null() & one_price
    beyond = (pl.col("item") == RATE) & (pl.col("tier_from_micros") > 0)
    return UNKNOWN, "tier_from_micros: there is a rate below the tier", beyond & ~base.any().over(key)


def _require_plans(book: pl.DataFrame) -> _Rule:
    plans = _select_accepted(book, RATE)["plan"].unique()
    return UNKNOWN, "plan: is a plan of a rate", (pl.col("item") == ALLOWANCE) & ~pl.col("plan").is_in(plans.implode())


def _mark_gaps(book: pl.DataFrame) -> pl.DataFrame:
    """Mark the rows by which a version ends after the next version begins (overlap), or before it (gap).

    The marked row is the one with the `valid_to`; where that row was known before, the row of the next version is marked.
    """
    return pl.concat(
        _mark_item_gaps(book.filter(pl.col("item").eq_missing(pl.lit(item, pl.String))), item)
        for item in book["item"].unique().to_list()
    )


def _mark_item_gaps(rows: pl.DataFrame, item: str | None) -> pl.DataFrame:
    if item not in ITEMS or item == HOLIDAY:
        return rows
    key = KEYS[item]
    names = [*key, "valid_from"]
    last = rows.filter(pl.col("rule").is_null()).unique(names, keep="last", maintain_order=True).sort(*names, nulls_last=True)
    ends, next_begins, isnew = pl.col("valid_to"), pl.col("valid_from").shift(-1).over(key), pl.col("source_row").is_not_null()
    edges = last.select(
        "known",
        isnew,
        overlaps=ends > next_begins,
        gapped=(ends < next_begins) & pl.lit(item not in _WITH_GAPS),
        next=pl.col("known").shift(-1).over(key),
    )
    edges = edges.filter(pl.col("overlaps") | pl.col("gapped"))
    marks = edges.select(
        known=pl.when("source_row").then("known").otherwise("next"),
        why=pl.when("overlaps").then(pl.lit(OVERLAPPING)).otherwise(pl.lit(GAPPED)),
        what=pl.when("overlaps").then(pl.lit("valid_to: is not after the next version's valid_from"))
        .otherwise(pl.lit("valid_to: is not before the next version's valid_from")),
    ).unique("known", keep="first", maintain_order=True)  # fmt: skip
    marked = rows.join(marks, on="known", how="left", maintain_order="left")
    return marked.with_columns(pl.coalesce("reason", "why").alias("reason"), pl.coalesce("rule", "what").alias("rule")).drop(
        "why", "what"
    )
