"""Subscription views: a subscription as known along the log, with its states in days of its own zone.

A *view* of a subscription is a range of positions in which neither its known states, the known items nor the policy change. Within
a view its states are *spans* of time without overlap. Each calendar day has one state: the last chargeable state in force on the
day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from trueup.localtime import wall_us
from trueup.policies.policy import NEVER_POSITION, Policies

OPEN_DAY = 2_932_896
"""The last day of the year 9999, in days since 1970; it represents an open end."""
ACTIVE, SUSPENDED, CEASED = "active", "suspended", "ceased"
VIEW: dict[str, pl.DataType] = {
    "view": pl.Int64(),
    "subscriber": pl.String(),
    "since": pl.Int64(),  # the positions [since, until)
    "until": pl.Int64(),
    "edition": pl.Int64(),  # the number of the items and the policy in force
    "zone": pl.String(),
}
SPAN: dict[str, pl.DataType] = {
    "view": pl.Int64(),
    "edition": pl.Int64(),
    "zone": pl.String(),
    "subscriber": pl.String(),
    "from_us": pl.Int64(),
    "to_us": pl.Int64(),  # exclusive; NULL without an end
    "plan": pl.String(),
    "status": pl.String(),
    "imsi": pl.String(),
    "cycle_day": pl.Int64(),
    "before_status": pl.String(),  # of the span that ends where this one begins; the next two likewise; NULL without one
    "before_plan": pl.String(),
    "before_imsi": pl.String(),
    "is_last": pl.Boolean(),  # no span of a subscription that has not ceased follows at once
    "activated_us": pl.Int64(),  # the beginning of the first active span since the last cessation
}


@dataclass(frozen=True)
class SubscriptionViews:
    """Views (`VIEW`) with their spans (`SPAN`); `starts` are the positions at which the editions begin."""

    views: pl.DataFrame
    spans: pl.DataFrame
    starts: tuple[int, ...]


def subscription_views(
    states: pl.DataFrame, charges: pl.DataFrame, starts: Sequence[int], policies: Policies, *, after: int, upto: int
) -> SubscriptionViews:
    """Return the views in force at `after` and later, of the subscriptions of `states` and of `charges`.

    `charges` (`subscriber`, `since`) may name subscriptions without a state. `starts` ascend.
    """
    known = states.filter(pl.col("since") <= upto)
    moments = pl.concat([
        known.select("subscriber", at="since"), known.select("subscriber", at="until"), charges.select("subscriber", at="since"),
    ]).filter(pl.col("at") <= upto)  # fmt: skip
    first = moments.group_by("subscriber").agg(pl.col("at").min())
    editions = pl.DataFrame({"at": list(starts)}, schema={"at": pl.Int64})
    later = first.rename({"at": "first"}).join(editions, how="cross").filter(pl.col("at") > pl.col("first"))
    ordered = pl.concat([moments, later.select("subscriber", "at")]).filter(pl.col("at") <= upto).unique().sort("subscriber", "at")
    until = pl.col("at").shift(-1).over("subscriber").fill_null(NEVER_POSITION)
    edition = pl.Series("edition", starts, dtype=pl.Int64).search_sorted(ordered["at"], side="right").cast(pl.Int64) - 1
    views = (
        ordered.with_columns(until=until, edition=edition).rename({"at": "since"}).filter(pl.col("until") > after)
        .with_row_index("view").with_columns(pl.col("view").cast(pl.Int64))
    )  # fmt: skip
    spans = _build_spans(views, known)
    zones = spans.drop_nulls("timezone").group_by("view").agg(zone=pl.col("timezone").sort_by("from_us").last())
    number = pl.Series(policies.number_at(views["since"].to_numpy()))
    of_project = pl.Series([p.timezone for p in policies.all], dtype=pl.String)[number]
    zoned = views.join(zones, on="view", how="left", maintain_order="left").with_columns(zone=pl.coalesce("zone", of_project))
    final = spans.join(zoned.select("view", "zone"), on="view", how="left", maintain_order="left")
    return SubscriptionViews(zoned.select(pl.col(n).cast(t) for n, t in VIEW.items()), with_life(final), tuple(starts))


def _build_spans(views: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """Return the states known in each view, without overlap: billing's or, without any, the network's."""
    known = views.select("view", "edition", "subscriber", at="since").join(states, on="subscriber").filter(
        (pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until"))
    )  # fmt: skip
    of_billing = pl.col("system") == "billing"
    chosen = known.filter(of_billing | ~of_billing.any().over("view")).sort("view", "from_us")
    return chosen.with_columns(to_us=pl.min_horizontal("to_us", pl.col("from_us").shift(-1).over("view")))


def with_life(spans: pl.DataFrame) -> pl.DataFrame:
    """Return spans as `SPAN`, with the state before each and the activation of its life.

    A life ends where a subscription ceases, or where no state follows at once.
    """
    ordered = spans.sort("view", "from_us")
    alive = pl.col("status") != CEASED
    follows = (pl.col("to_us").shift(1).over("view") == pl.col("from_us")).fill_null(False)
    before = {n: pl.when(follows).then(pl.col(n).shift(1).over("view")) for n in ("status", "plan", "imsi")}
    linked = ordered.with_columns(**{f"before_{n}": of for n, of in before.items()})
    begins = (pl.col("before_status").is_null() | (pl.col("before_status") == CEASED)) & alive
    goes_on = (pl.col("from_us").shift(-1).over("view") == pl.col("to_us")) & alive.shift(-1).over("view")
    lives = linked.with_columns(life=begins.cum_sum().over("view"), is_last=alive & ~goes_on.fill_null(False))
    active_us = pl.when(pl.col("status") == ACTIVE).then("from_us")
    activated = lives.with_columns(activated_us=pl.when(alive).then(active_us.min().over("view", "life")))
    return activated.select(pl.col(n).cast(t) for n, t in SPAN.items())


def day_number(time_us: pl.Expr, zone: pl.Expr, zones: Sequence[str]) -> pl.Expr:
    """Return the calendar day of each instant in each row's own `zone`, in days since 1970."""
    day_us = 86_400_000_000
    number = pl.lit(None, pl.Int64)
    for name in zones:
        number = pl.when(zone == name).then(wall_us(time_us, name) // day_us).otherwise(number)
    return number


def with_days(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `first_day` and `last_day` of [`from_us`, `to_us`) in each row's `zone`; without an end it is `OPEN_DAY`."""
    zones = rows["zone"].unique().drop_nulls().sort().to_list()
    last = day_number(pl.col("to_us") - 1, pl.col("zone"), zones).fill_null(OPEN_DAY)
    return rows.with_columns(first_day=day_number(pl.col("from_us"), pl.col("zone"), zones), last_day=last)


def charged_days(spans: pl.DataFrame, *, suspended: bool) -> pl.DataFrame:
    """Return the chargeable spans in whole days; the last span on a day gets the day. `suspended` spans may be included."""
    statuses = (ACTIVE, SUSPENDED) if suspended else (ACTIVE,)
    days = with_days(spans.filter(pl.col("status").is_in(statuses))).sort("view", "from_us")
    last = pl.min_horizontal("last_day", pl.col("first_day").shift(-1).over("view") - 1)
    return days.with_columns(last_day=last).filter(pl.col("first_day") <= pl.col("last_day"))
