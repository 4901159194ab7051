"""Items of the tariff book that are charged without usage: recurring items, one-off items and discounts.

A row names its item (`name`). A version of an item holds from its `valid_from` to its `valid_to`, or to the beginning of the next
version. The version is known from a position of the log on. For a plan, its own rows of an item take precedence over rows without a
plan while they are in force.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from trueup.localtime import DAY_US, utc_us, wall_us
from trueup.policies.policy import NEVER_POSITION
from trueup.rating.book import DISCOUNT, ONE_OFF, RECURRING
from trueup.units import CYCLE, MONTH, WEEK

CHARGED_ITEMS = (RECURRING, ONE_OFF, DISCOUNT)
DAY: Final = 1
"""The period of one day; `MONTH`, `WEEK` and `CYCLE` are the other periods."""
PERIODS = {"day": DAY, "week": WEEK, "month": MONTH, "cycle": CYCLE}
BY_DAY, NOT_PRORATED, BY_30 = "day", "none", "30"

ITEM: dict[str, pl.DataType] = {
    "kind": pl.String(),  # one of `CHARGED_ITEMS`
    "name": pl.String(),
    "plan": pl.String(),  # NULL: any plan
    "service": pl.String(),
    "from_us": pl.Int64(),
    "to_us": pl.Int64(),  # exclusive; NULL without an end
    "currency": pl.String(),
    "price_micros": pl.Int64(),  # of a discount: the amount that it takes off
    "period": pl.Int64(),  # one of `PERIODS`
    "in_advance": pl.Boolean(),
    "proration": pl.String(),
    "charged_suspended": pl.Boolean(),
    "event": pl.String(),
    "applies_to": pl.String(),
    "discount_micros": pl.Int64(),
    "months": pl.Int64(),
    "tax_micros": pl.Int64(),  # added to the price; 0 where it is included
    "rounding": pl.String(),
    "decimals": pl.Int64(),
    "since": pl.Int64(),  # known at the positions [since, until)
    "until": pl.Int64(),
}
_KEY = ["kind", "plan", "name", "applies_to"]
_OF_PLAN = ["of_plan", "zone", "kind", "name", "applies_to"]


def items_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `events.tariff` (with `position`) that are charged without usage, as `ITEM`."""
    charged = rows.filter(pl.col("item").is_in(CHARGED_ITEMS)).sort("position", "source_row")
    included = pl.col("tax_included").fill_null(False)
    known = charged.select(
        "name", "plan", "service", "currency", "event", "applies_to", "months", "rounding", "decimals", since="position",
        kind="item", from_us=pl.col("valid_from").cast(pl.Int64), to_us=pl.col("valid_to").cast(pl.Int64),
        price_micros=pl.col("price_micros").fill_null(0), discount_micros=pl.col("discount_micros").fill_null(0),
        period=pl.col("period").fill_null("month").replace_strict(PERIODS, return_dtype=pl.Int64),
        in_advance=pl.col("due").fill_null("advance") == "advance", proration=pl.col("proration").fill_null(BY_DAY),
        charged_suspended=pl.col("suspended").fill_null("free") == "charged",
        tax_micros=pl.when(included).then(0).otherwise(pl.col("tax_micros").fill_null(0)),
    )  # fmt: skip
    last = known.unique([*_KEY, "from_us", "since"], keep="last", maintain_order=True)
    until = pl.col("since").shift(-1).over([*_KEY, "from_us"]).fill_null(NEVER_POSITION)
    return last.with_columns(until=until).select(pl.col(n).cast(t) for n, t in ITEM.items())


def items_known_at(items: pl.DataFrame, position: int) -> pl.DataFrame:
    """Return the versions known at a position, in the order of each item's versions; each ends where the next begins."""
    known = items.filter((pl.col("since") <= position) & (pl.col("until") > position)).sort(*_KEY, "from_us", nulls_last=True)
    following = pl.col("from_us").shift(-1).over(_KEY)
    return known.with_columns(to_us=pl.min_horizontal("to_us", following)).drop("since", "until")


def items_of_plans(known: pl.DataFrame, plans: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `known` that apply to each plan in each zone (`of_plan`, `zone`): its own rows, else those without a plan.

    A plan's own row hides rows without a plan while it is in force. It is in force on whole days of the zone, or at the instant of
    an event.
    """
    own = known.drop_nulls("plan").join(plans, left_on="plan", right_on="of_plan", how="inner").with_columns(of_plan="plan")
    general = known.filter(pl.col("plan").is_null()).join(plans, how="cross")
    gaps = _find_gaps(_in_whole_days(own))
    left = general.join(gaps, on=_OF_PLAN, how="left", nulls_equal=True, maintain_order="left").with_columns(
        from_us=pl.max_horizontal("from_us", "gap_from_us"), to_us=pl.min_horizontal("to_us", "gap_to_us")
    ).filter((pl.col("from_us") < pl.col("to_us")).fill_null(True))  # fmt: skip
    return pl.concat([own, left.select(own.columns)])


def _in_whole_days(own: pl.DataFrame) -> pl.DataFrame:
    """Return the range of each row as `from_us` and `to_us`: for what is charged or lowered by days, whole days of its zone."""
    begins, ends = pl.col("from_us"), pl.col("to_us")
    for zone in own["zone"].unique().drop_nulls().sort():
        is_by_day = (pl.col("kind") != ONE_OFF) & (pl.col("zone") == zone)
        first = wall_us(pl.col("from_us"), zone) // DAY_US
        following = wall_us(pl.col("to_us") - 1, zone) // DAY_US + 1
        begins = pl.when(is_by_day).then(utc_us(first * DAY_US, zone)).otherwise(begins)
        ends = pl.when(is_by_day).then(utc_us(following * DAY_US, zone)).otherwise(ends)
    return own.select(*_OF_PLAN, from_us=begins, to_us=ends)


def _find_gaps(ranges: pl.DataFrame) -> pl.DataFrame:
    """Return the times [`gap_from_us`, `gap_to_us`) of each key before, between and after its ranges; a NULL is no limit."""
    ordered = ranges.sort(*_OF_PLAN, "from_us", nulls_last=True)
    before = pl.col("to_us").shift(1).over(_OF_PLAN)
    gaps = ordered.select(*_OF_PLAN, gap_from_us=before, gap_to_us="from_us")
    last = ordered.unique(_OF_PLAN, keep="last", maintain_order=True).filter(pl.col("to_us").is_not_null())
    after = last.select(*_OF_PLAN, gap_from_us="to_us", gap_to_us=pl.lit(None, pl.Int64))
    return pl.concat([gaps, after])
