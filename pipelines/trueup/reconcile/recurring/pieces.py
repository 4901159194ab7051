"""Pieces: the days of one billing period in which an item has one price and the same discounts.

A piece is (subscription view, item, period, first day, last day). The proration of the item's version on the period's first charged
day determines the piece's *share* of the period's price. The share is by days of the period, by 30 days, or all for the first
piece.
"""

from __future__ import annotations

import polars as pl

from trueup.localtime import cycle_begin_day, cycle_number
from trueup.rating.charged_items.items import BY_30, DAY, NOT_PRORATED
from trueup.reconcile.recurring.subscription_views import OPEN_DAY, charged_days, with_days
from trueup.units import CYCLE, WEEK

MOST_REACHED_DAY = OPEN_DAY - 400
GROUP = ["view", "name", "currency", "period", "begins", "cut_from"]
"""The key of an expectation: a view, an item and one of its periods."""
_TERMS = [
    "name", "service", "currency", "price_micros", "period", "in_advance", "proration", "tax_micros", "rounding", "decimals",
]  # fmt: skip


def pieces_of(spans: pl.DataFrame, recurring: pl.DataFrame, reach: pl.DataFrame) -> pl.DataFrame:
    """Return the pieces of recurring items, with the terms of their version, for the periods in `reach`.

    `recurring` are rows of `ITEM` with `edition`, `of_plan` and `zone`. `reach` has ranges of days (`view`, `low_day`, `high_day`).
    """
    living = spans.join(reach.select("view").unique(), on="view", how="semi")
    version = ["edition", "of_plan", "zone", "name"]
    versions = with_days(recurring).sort(*version, "from_us")
    ends = pl.min_horizontal("last_day", pl.col("first_day").shift(-1).over(version) - 1)
    terms = ("charged_suspended", *(n for n in _TERMS if n != "name"))
    held = versions.select(*version, *terms, v_first="first_day", v_last=ends)
    charged = []
    for suspended in (False, True):
        days = _with_cycles(charged_days(living, suspended=suspended), living)
        own = held.filter(pl.col("charged_suspended") == suspended)
        charged.append(
            days.join(own, left_on=["edition", "plan", "zone"], right_on=["edition", "of_plan", "zone"], nulls_equal=True)
        )
    whole = pl.concat(charged).with_columns(
        first_day=pl.max_horizontal("first_day", "v_first"), last_day=pl.min_horizontal("last_day", "v_last")
    )  # fmt: skip
    return _divide_by_period(whole.filter(pl.col("first_day") <= pl.col("last_day")).drop("v_first", "v_last"), reach)


def _with_cycles(days: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Add `cycle_day`, and the days [`cut_from`, `cut_to`] on which the subscription has that cycle day.

    The first cycle day also applies to all earlier days, and the last cycle day to all later days.
    """
    dayed = with_days(spans).with_columns(pl.col("cycle_day").fill_null(1)).sort("view", "from_us")
    changes = (pl.col("cycle_day") != pl.col("cycle_day").shift(1).over("view")).fill_null(True)
    runs = dayed.with_columns(run=changes.cum_sum()).group_by("view", "run", maintain_order=True).agg(
        pl.col("first_day", "cycle_day").first()
    )  # fmt: skip
    is_first = pl.col("run") == pl.col("run").min().over("view")
    following = pl.col("first_day").shift(-1).over("view")
    cut = runs.with_columns(
        cut_from=pl.when(is_first).then(-OPEN_DAY).otherwise("first_day"), cut_to=(following - 1).fill_null(OPEN_DAY)
    )  # fmt: skip
    if cut["view"].is_unique().all():
        return days.drop("cycle_day").join(cut.select("view", "cycle_day", "cut_from", "cut_to"), on="view")
    crossed = days.drop("cycle_day").join(cut.select("view", "cycle_day", "cut_from", "cut_to"), on="view").with_columns(
        first_day=pl.max_horizontal("first_day", "cut_from"), last_day=pl.min_horizontal("last_day", "cut_to")
    )  # fmt: skip
    return crossed.filter(pl.col("first_day") <= pl.col("last_day"))


def _to_date(day: pl.Expr) -> pl.Expr:
    return day.cast(pl.Int32).cast(pl.Date)


def day_months_after(day: pl.Expr) -> pl.Expr:
    """Return the day of the month, each row's `months` later; the last day of a month without that day."""
    return _to_date(day).dt.offset_by(pl.format("{}mo", pl.col("months").fill_null(1))).cast(pl.Int32).cast(pl.Int64)


def period_of_day(day: pl.Expr) -> pl.Expr:
    """Return the number of the period that contains a day, by each row's `period` and `cycle_day`."""
    # The first of January 1970 was a Thursday.
    by_days = pl.when(pl.col("period") == DAY).then(day).otherwise((day + 3) // 7)
    is_monthly = ~pl.col("period").is_in([DAY, WEEK])
    return pl.when(is_monthly).then(cycle_number(_to_date(day), _find_month_begin())).otherwise(by_days)


def _find_month_begin() -> pl.Expr:
    """Return the day of the month on which each row's periods begin; for calendar months it is the first."""
    return pl.when(pl.col("period") == CYCLE).then("cycle_day").otherwise(1)


def period_begin_day(number: pl.Expr) -> pl.Expr:
    """Return the day on which a numbered period begins, by each row's `period` and `cycle_day`."""
    by_days = pl.when(pl.col("period") == DAY).then(number).otherwise(number * 7 - 3)
    is_monthly = ~pl.col("period").is_in([DAY, WEEK])
    monthly = cycle_begin_day(pl.when(is_monthly).then(number).otherwise(24_000), _find_month_begin()).cast(pl.Int32).cast(pl.Int64)
    return pl.when(is_monthly).then(monthly).otherwise(by_days)


def _divide_by_period(whole: pl.DataFrame, reach: pl.DataFrame) -> pl.DataFrame:
    """Divide pieces by the periods of `reach`; add the period's days [`begins`, `ends`), and their number as `days`.

    Only periods of billing cycles are cut where the cycle day changes.
    """
    uncut = pl.col("period") != CYCLE
    plain = whole.with_columns(
        cut_from=pl.when(uncut).then(-OPEN_DAY).otherwise("cut_from"), cut_to=pl.when(uncut).then(OPEN_DAY).otherwise("cut_to")
    ).with_row_index("piece")  # fmt: skip
    near = plain.join(reach, on="view").with_columns(
        low=pl.max_horizontal(period_of_day(pl.col("low_day")), period_of_day(pl.col("first_day"))),
        high=pl.min_horizontal(
            period_of_day(pl.col("high_day").clip(upper_bound=MOST_REACHED_DAY)),
            period_of_day(pl.col("last_day").clip(upper_bound=MOST_REACHED_DAY)),
        ),
    ).filter(pl.col("low") <= pl.col("high"))  # fmt: skip
    numbered = near.with_columns(number=pl.int_ranges("low", pl.col("high") + 1)).explode("number")
    numbered = numbered.unique(["piece", "number"], maintain_order=True)
    nominal = numbered.with_columns(begins=period_begin_day(pl.col("number")), ends=period_begin_day(pl.col("number") + 1))
    clipped = nominal.with_columns(
        first_day=pl.max_horizontal("first_day", "begins"), last_day=pl.min_horizontal("last_day", pl.col("ends") - 1),
        nominal=pl.col("begins"), days=pl.col("ends") - pl.col("begins"),
    )  # fmt: skip
    cut = clipped.with_columns(begins=pl.max_horizontal("begins", "cut_from"), ends=pl.min_horizontal("ends", pl.col("cut_to") + 1))
    return cut.filter(pl.col("first_day") <= pl.col("last_day")).drop("piece", "low", "high", "low_day", "high_day", "number")


def with_discounts(pieces: pl.DataFrame, discounts: pl.DataFrame) -> pl.DataFrame:
    """Cut pieces where a discount begins or ends; add `fraction_micros` and `off_micros`, the sums of the discounts in force.

    `discounts` are rows of `ITEM` with `edition`, `of_plan` and `zone`. A discount with `months` lasts that long from the day of
    activation, if it is valid on that day. Any other applies while it is valid.
    """
    numbered = pieces.with_row_index("piece")
    none = {"fraction_micros": pl.lit(0, pl.Int64), "off_micros": pl.lit(0, pl.Int64)}
    if discounts.is_empty():
        return numbered.drop("piece").with_columns(**none)
    offers = with_days(discounts).select(
        "edition", "of_plan", "zone", "applies_to", "months", "discount_micros", d_currency="currency", d_price="price_micros",
        d_first="first_day", d_last="last_day",
    )  # fmt: skip
    met = numbered.join(
        offers, left_on=["edition", "plan", "zone"], right_on=["edition", "of_plan", "zone"], nulls_equal=True
    ).filter(
        (pl.col("applies_to").is_null() | (pl.col("applies_to") == pl.col("name")))
        & (pl.col("d_currency").is_null() | (pl.col("d_currency") == pl.col("currency")))
    )  # fmt: skip
    of_activation = pl.col("months").is_not_null()
    is_offered = ~of_activation | pl.col("activated_day").is_between("d_first", "d_last")
    lasts_to = day_months_after(pl.col("activated_day")) - 1
    held = met.filter(is_offered).with_columns(
        d_first=pl.max_horizontal("first_day", pl.when(of_activation).then("activated_day").otherwise("d_first")),
        d_last=pl.min_horizontal("last_day", pl.when(of_activation).then(lasts_to).otherwise("d_last")),
    ).filter(pl.col("d_first") <= pl.col("d_last")).select("piece", "d_first", "d_last", "discount_micros", "d_price")  # fmt: skip
    if held.is_empty():
        return numbered.drop("piece").with_columns(**none)
    own = numbered.select("piece", edge="first_day")
    edges = pl.concat([own, held.select("piece", edge="d_first"), held.select("piece", edge=pl.col("d_last") + 1)]).unique()
    cut = numbered.join(edges, on="piece").filter(pl.col("edge") <= pl.col("last_day")).sort("piece", "edge")
    cut = cut.with_columns(
        first_day="edge", last_day=pl.min_horizontal("last_day", pl.col("edge").shift(-1).over("piece") - 1)
    )  # fmt: skip
    sums = cut.select("piece", "edge").join(held, on="piece").filter(pl.col("edge").is_between("d_first", "d_last"))
    summed = sums.group_by("piece", "edge").agg(fraction_micros=pl.col("discount_micros").sum(), off_micros=pl.col("d_price").sum())
    joined = cut.join(summed, on=["piece", "edge"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("fraction_micros", "off_micros").fill_null(0)).drop("piece", "edge")


def with_shares(pieces: pl.DataFrame) -> pl.DataFrame:
    """Add `share` and `of_shares`: a piece has `share` / `of_shares` of the period's price. Pieces are sorted by period and day."""
    ordered = pieces.sort(*GROUP, "first_day")
    rule, offset = pl.col("proration").first().over(GROUP), pl.col("first_day") - pl.col("nominal")
    until = pl.col("last_day") + 1 - pl.col("nominal")
    is_first = pl.int_range(pl.len()).over(GROUP) == 0

    def in_30(day: pl.Expr) -> pl.Expr:
        # The last day of a shorter or longer period completes the 30.
        return pl.when(day >= pl.col("days")).then(30).otherwise(day.clip(upper_bound=30))

    share = (
        pl.when(rule == NOT_PRORATED).then(is_first.cast(pl.Int64))
        .when(rule == BY_30).then(in_30(until) - in_30(offset))
        .otherwise(until - offset)
    )  # fmt: skip
    whole = pl.when(rule == NOT_PRORATED).then(1).when(rule == BY_30).then(30).otherwise(pl.col("days"))
    return ordered.with_columns(share=share, of_shares=whole)


def longest_period_us(period: int) -> int:
    """Return a length that no period of this kind exceeds, in microseconds."""
    days = {DAY: 1, WEEK: 7}.get(period, 31)
    return days * 86_400_000_000
