"""Items of the tariff book that are charged without usage: recurring items, one-off items and discounts.

A row names its item (`name`). A version of an item holds from its `valid_from` to its `valid_to`, or to the beginning of the next
version. The version is known from a position of the log on. For a plan, its own rows of an item take precedence over rows without a
plan.
"""

from __future__ import annotations

from typing import Final

import polars as pl

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


def items_of_plans(known: pl.DataFrame, plans: pl.Series) -> pl.DataFrame:
    """Return the rows of `known` that apply to each plan (`of_plan`): its own rows, else those without a plan."""
    of_plans = plans.unique().alias("of_plan").to_frame()
    own = known.drop_nulls("plan").join(of_plans, left_on="plan", right_on="of_plan", how="inner").with_columns(of_plan="plan")
    general = known.filter(pl.col("plan").is_null()).join(of_plans, how="cross")
    hidden = own.select("of_plan", *(n for n in _KEY if n != "plan")).unique()
    general = general.join(hidden, on=hidden.columns, how="anti", nulls_equal=True)
    return pl.concat([own, general.select(own.columns)])
