"""Apply allowances, consumed in event order, and tiers by volume: both depend on other records of the period.

A call that is `aside` is a what-if: it is priced in the order of its start among the other calls. The what-if draws on the
allowance that is left at that point, and takes nothing from the other calls.
"""

from __future__ import annotations

import polars as pl

from trueup.localtime import (
    DAY_US,
    month_begin_us,
    month_number,
    period_index,
    period_last_us,
    utc_us,
    wall_us,
    week_begin_us,
    week_number,
)
from trueup.party_numbers import international_digits
from trueup.rating.book import PRICED_KEY, Book
from trueup.rating.slots import with_bases
from trueup.units import CYCLE

_POOL: list[str | pl.Expr] = ["by_account", "who", "plan", "period", "index"]
"""The key of an allowance pool: the subscription or account whose volume adds up, and the period."""
_EVENTS = ["start_us", "order", "counts", "call", "piece"]
"""The order in which records draw on allowances; a what-if call comes directly before the call that it replaces."""
SHARE: dict[str, pl.DataType] = {
    "call": pl.Int64(),
    "piece": pl.Int64(),
    "share": pl.Int64(),  # from 0 in each piece
    "rate": pl.Int64(),  # the rate that prices the piece
    "base": pl.Int64(),  # the rate without tiers, whose terms the piece has
    "charged_micros": pl.Int64(),
    "free_micros": pl.Int64(),  # the part of it that is free at the beginning of the record, or covered by allowances
    "allowance": pl.String(),
    "increment_micros": pl.Int64(),
    "from_micros": pl.Int64(),
}
"""A piece of a call, or the part of a piece that falls into one tier; the paid quantity is `charged_micros` − `free_micros`."""


def apply_allowances_and_tiers(pieces: pl.DataFrame, calls: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Divide pieces into `SHARE`s: the part that allowances cover, and the rest by tier.

    Allowances cover the charged quantity of a record from its beginning. Several allowances apply in the order of their names. A
    tier's price applies to the volume of a subscription or account, beyond its allowances, that exceeds the tier's volume in the
    period.
    """
    counts = ~pl.col("aside") if "aside" in calls.columns else pl.lit(True)
    facts = calls.select(
        "call", "plan", "service", "zone", "peer", "account", "subscriber", "start_us", "order", "cycle_day", counts=counts
    )
    rows = with_bases(pieces, book.slots).with_columns(allowance=pl.lit(None, pl.String), share=pl.lit(0, pl.Int64))
    if not book.allowances.is_empty():
        rows = _apply_allowances(rows, facts, book)
    if book.tiered:
        rows = _apply_tiers(rows, facts, book)
    return rows.select(*SHARE)


def _sum_taken_before(rows: pl.DataFrame, volume: str, pool: list[str | pl.Expr]) -> pl.Expr:
    """Return the volume consumed before each row: by calls that are no what-ifs, and by earlier pieces of the same call."""
    of = pl.col(volume)
    if rows["counts"].all():
        return of.cum_sum().over(pool) - of
    counted = pl.when("counts").then(of).otherwise(0)
    own = pl.when("counts").then(0).otherwise(of.cum_sum().over([*pool, "call"]) - of)
    return counted.cum_sum().over(pool) - counted + own


def period_number(period: pl.Expr, timezone: str, time: pl.Expr, cycle_day: pl.Expr) -> pl.Expr:
    """Return the number of the billing period of an instant, on the wall clock of a zone."""
    wall = wall_us(time, timezone)
    return (
        pl.when(period == "day").then(wall // DAY_US).when(period == "week").then(week_number(wall))
        .when(period == "cycle").then(period_index(time, CYCLE, timezone, cycle_day.fill_null(1)))
        .otherwise(month_number(wall))
    )  # fmt: skip


def period_end_us(period: pl.Expr, timezone: str, number: pl.Expr) -> pl.Expr:
    """Return the last microsecond of a numbered billing period."""
    after = number + 1
    days = pl.when(period == "day").then(after * DAY_US).otherwise(week_begin_us(after))
    last = utc_us(pl.when(period == "month").then(month_begin_us(after)).otherwise(days), timezone) - 1
    return pl.when(period == "cycle").then(period_last_us(number, CYCLE, timezone)).otherwise(last)


def _index_periods(rows: pl.DataFrame, zones: pl.Series) -> pl.DataFrame:
    """Add the `_POOL` of each row: `index` numbers the period in which `start_us` lies, by `period` and `timezone`."""
    index = pl.lit(None, pl.Int64)
    for zone in zones.fill_null("UTC").unique().sort().to_list():
        in_zone = pl.col("timezone").fill_null("UTC") == zone
        index = (
            pl.when(in_zone).then(period_number(pl.col("period"), zone, pl.col("start_us"), pl.col("cycle_day"))).otherwise(index)
        )
    by_account = (pl.col("shared") == "account").fill_null(False)
    who = pl.when(by_account).then("account").otherwise("subscriber")
    return rows.with_columns(index=index, who=who, by_account=by_account, period=pl.col("period").fill_null("month"))


def _apply_allowances(rows: pl.DataFrame, facts: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Cover charged quantities by the free units of each allowance in turn."""
    for name in book.allowances["name"].unique().sort().to_list():
        terms = book.allowances.filter(pl.col("name") == name)
        used = _select_covered_pieces(rows, facts, terms)
        if used.is_empty():
            continue
        wanted = pl.col("charged_micros") - pl.col("free_micros")
        # A record of an unknown subscriber draws on no allowance.
        owned = _index_periods(used, terms["timezone"]).drop_nulls("who")
        ordered = owned.sort(_EVENTS).with_columns(wanted=wanted.cast(pl.Int128))
        before = _sum_taken_before(ordered, "wanted", _POOL)
        free = (pl.col("units_micros").cast(pl.Int128) - before).clip(0, None)
        taken = ordered.with_columns(covers=pl.min_horizontal(free, "wanted").cast(pl.Int64)).filter(pl.col("covers") > 0)
        rows = rows.join(taken.select("call", "piece", "covers"), on=["call", "piece"], how="left").with_columns(
            pl.col("free_micros") + pl.col("covers").fill_null(0),
            allowance=pl.when(pl.col("covers").is_not_null())
            .then(pl.concat_str("allowance", pl.lit(name), separator=", ", ignore_nulls=True)).otherwise("allowance"),
        ).drop("covers")  # fmt: skip
    return rows


def _select_covered_pieces(rows: pl.DataFrame, facts: pl.DataFrame, allowance: pl.DataFrame) -> pl.DataFrame:
    """Return the pieces that one allowance may cover, with its terms in force at the call's start; its rows share a name."""
    terms = allowance.select(
        "from_us", "to_us", "units_micros", "shared", "period", "timezone", plan_of="plan", zone_of="zone", prefix="destination",
        service=pl.col("services").str.split(",").list.eval(pl.element().str.strip_chars()),
    ).explode("service").with_row_index("term")  # fmt: skip
    candidates = rows.filter(pl.col("charged_micros") > pl.col("free_micros")).join(facts, on="call").join(terms, on="service")
    number = international_digits(pl.col("peer").fill_null("")).str.strip_prefix("+")
    fits = (
        pl.col("start_us").is_between(pl.col("from_us"), pl.col("to_us"), closed="left")
        & (pl.col("plan_of").is_null() | (pl.col("plan_of") == pl.col("plan")).fill_null(False))
        & (pl.col("zone_of").is_null() | (pl.col("zone_of") == pl.col("zone")).fill_null(False))
        & (pl.col("prefix").is_null() | number.str.starts_with(pl.col("prefix").fill_null("")))
    )
    return candidates.filter(fits).sort("term").unique(["call", "piece"], keep="first", maintain_order=True)


def _apply_tiers(rows: pl.DataFrame, facts: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Divide the charged quantity beyond allowances among the tiers of its rate."""
    key = PRICED_KEY
    terms_of = ["period", "timezone", "shared"]
    # A rate with several prices within a record has no tiers.
    one_price = (pl.col("tier_from_micros") > 0) | pl.col("slots").is_null()
    tiers = book.rates.filter(one_price).select("rate", "from_us", "to_us", *key, *terms_of, "tier_from_micros")
    table = tiers.filter(pl.col("tier_from_micros") == 0).select(*key, *terms_of, base="rate")
    several = table.join(tiers.drop(terms_of), on=key, nulls_equal=True)
    several = several.filter((pl.col("tier_from_micros") > 0) | (pl.col("rate") == pl.col("base")))
    several = several.filter(pl.col("base").is_in(several.filter(pl.col("tier_from_micros") > 0)["base"].unique().implode()))
    tiered_rows = rows.join(several.select(rate="base").unique(), on="rate", how="semi")
    if tiered_rows.is_empty():
        return rows
    paid = pl.col("charged_micros").cast(pl.Int128) - pl.col("free_micros")
    terms = several.filter(pl.col("rate") == pl.col("base")).select("rate", "period", "timezone", "shared")
    ordered = _index_periods(tiered_rows.join(facts, on="call").join(terms, on="rate"), terms["timezone"]).sort(_EVENTS)
    own_call = pl.when(pl.col("who").is_null()).then("call")
    ordered = ordered.with_columns(paid=paid).with_columns(before=_sum_taken_before(ordered, "paid", [*_POOL, "service", own_call]))
    cut = ordered.drop("rate").join(several.select("base", "rate", "from_us", "to_us", "tier_from_micros"), on="base")
    # A tier counts only if it is in force when the record begins.
    cut = cut.filter(pl.col("start_us").is_between("from_us", "to_us", closed="left") | (pl.col("rate") == pl.col("base")))
    cut = cut.sort("call", "piece", "tier_from_micros").with_columns(
        tier_to=pl.col("tier_from_micros").shift(-1).over("call", "piece")
    )
    low = pl.max_horizontal(pl.col("before"), pl.col("tier_from_micros").cast(pl.Int128))
    # The last tier has no end, however large the volume of the period is.
    high = pl.min_horizontal(pl.col("before") + pl.col("paid"), pl.col("tier_to").cast(pl.Int128))
    part = cut.with_columns(in_tier=(high - low).clip(0, None).cast(pl.Int64))
    # The free quantity, and a record of quantity 0, belong to the first share.
    first = pl.col("share") == 0
    part = part.filter((pl.col("in_tier") > 0) | (pl.col("paid") == 0) & (pl.col("tier_from_micros") == 0))
    part = part.with_columns(share=pl.int_range(pl.len()).over("call", "piece").cast(pl.Int64)).with_columns(
        free_micros=pl.when(first).then("free_micros").otherwise(0)
    )
    divided = part.with_columns(charged_micros=pl.col("in_tier") + pl.col("free_micros"))
    return pl.concat([rows.join(tiered_rows, on=["call", "piece"], how="anti").select(*SHARE), divided.select(*SHARE)])
