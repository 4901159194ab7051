"""Expectations: derive the expected charge of each item in each period, or at each event, from subscriptions and tariff book."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.rating.amounts import to_decimals
from trueup.rating.book import DISCOUNT, ONE_OFF, RECURRING
from trueup.rating.charged_items.items import items_known_at, items_of_plans
from trueup.reconcile.recurring.due_times import day_begin_us, due_day
from trueup.reconcile.recurring.pieces import GROUP, day_months_after, pieces_of, with_discounts, with_shares
from trueup.reconcile.recurring.subscription_views import ACTIVE, CEASED, SubscriptionViews, day_number
from trueup.units import MICROS

EXPECTATION: dict[str, pl.DataType] = {
    "view": pl.Int64(),
    "subscriber": pl.String(),
    "item": pl.String(),
    "service": pl.String(),
    "currency": pl.String(),
    "is_recurring": pl.Boolean(),
    "period": pl.Int64(),  # the kind of its period; NULL for a one-off item
    "period_from_us": pl.Int64(),
    "period_to_us": pl.Int64(),  # exclusive; NULL for a one-off item
    "due_us": pl.Int64(),
    "day": pl.Date(),  # the first of the period
    "expected_micros": pl.Int128(),
}
_WIDE = pl.Int128()


@dataclass(frozen=True)
class PriceLists:
    """The items of each edition for each plan and zone, as rows of `ITEM` with `edition`, `of_plan` and `zone`."""

    rows: pl.DataFrame

    def of(self, kind: str) -> pl.DataFrame:
        """Return the rows of one kind of item."""
        return self.rows.filter(pl.col("kind") == kind)


def price_lists(items: pl.DataFrame, views: SubscriptionViews) -> PriceLists:
    """Return the items (`ITEM`) of each edition for the plans and zones of subscriptions."""
    used = views.spans.select("edition", "zone", of_plan="plan").unique()
    no_plans = used.clear().select("of_plan", "zone")
    lists = [items_of_plans(items.clear().drop("since", "until"), no_plans).with_columns(edition=pl.lit(None, pl.Int64))]
    for (edition,), of_edition in used.group_by("edition", maintain_order=True):
        assert isinstance(edition, int)
        known = items_known_at(items, views.starts[edition])
        rows = items_of_plans(known, of_edition.select("of_plan", "zone"))
        lists.append(rows.with_columns(edition=pl.lit(edition, pl.Int64)))
    return PriceLists(pl.concat(lists))


def expectations_of(views: SubscriptionViews, lists: PriceLists, reached: pl.DataFrame) -> pl.DataFrame:
    """Return the `EXPECTATION` of each view: of all periods that a range of instants in `reached` touches, and of all events.

    `reached` has (`view`, `low_us`, `high_us`).
    """
    dayed = reached.join(views.views.select("view", "zone"), on="view")
    zones = dayed["zone"].unique().sort().to_list()
    reach = dayed.select("view", *(day_number(pl.col(f"{n}_us"), pl.col("zone"), zones).alias(f"{n}_day") for n in ("low", "high")))
    activated = views.spans.with_columns(
        activated_day=day_number(pl.col("activated_us"), pl.col("zone"), views.spans["zone"].unique().drop_nulls().sort().to_list())
    )  # fmt: skip
    pieces = pieces_of(activated, lists.of(RECURRING), reach)
    discounted = with_shares(with_discounts(pieces, lists.of(DISCOUNT)))
    recurring = _sum_pieces(discounted)
    return pl.concat([recurring, _expect_one_off_charges(activated, lists)])


def _derive_net_price(price: pl.Expr) -> pl.Expr:
    """Return a price less its discounts, with tax, in units of 10⁻¹⁸. A discount never makes the price negative."""
    fraction = pl.col("fraction_micros").clip(upper_bound=MICROS).cast(_WIDE)
    lowered = price.cast(_WIDE) * (pl.lit(MICROS, _WIDE) - fraction) - pl.col("off_micros").cast(_WIDE) * MICROS
    zero = pl.lit(0, _WIDE)
    net = pl.when((price >= 0) & (lowered < zero)).then(zero).otherwise(lowered)
    return net * (pl.col("tax_micros").cast(_WIDE) + MICROS)


def _sum_pieces(pieces: pl.DataFrame) -> pl.DataFrame:
    """Return one expectation for each period of its pieces: their exact sum, rounded once."""
    grouped = pieces.with_columns(net=_derive_net_price(pl.col("price_micros")) * pl.col("share").cast(_WIDE)).group_by(
        GROUP, maintain_order=True
    ).agg(
        pl.col("subscriber", "service", "zone", "in_advance", "rounding", "decimals", "of_shares", "ends").first(),
        pl.col("net").sum(), first_day=pl.col("first_day").min(),
    )  # fmt: skip
    over = pl.col("of_shares").cast(_WIDE) * MICROS * MICROS
    priced = grouped.with_columns(expected_micros=to_decimals(pl.col("net"), over))
    zones = priced["zone"].unique().sort().to_list()
    begin_us = {
        f"{n}_us": day_begin_us(day, pl.col("zone"), zones)
        for n, day in (("period_from", pl.col("begins")), ("period_to", pl.col("ends")), ("due", due_day()))
    }
    return priced.select(
        "view", "subscriber", "service", "currency", "expected_micros", "period", item="name", is_recurring=pl.lit(True),
        day=pl.col("begins").cast(pl.Int32).cast(pl.Date), **begin_us,
    ).select(pl.col(n).cast(t) for n, t in EXPECTATION.items())  # fmt: skip


def _expect_one_off_charges(spans: pl.DataFrame, lists: PriceLists) -> pl.DataFrame:
    """Return one expectation for each event of a subscription at which an item of its plan is charged."""
    prices = lists.of(ONE_OFF).drop("plan")
    events = _list_life_events(spans).join(
        prices, left_on=["edition", "plan", "zone", "event"], right_on=["edition", "of_plan", "zone", "event"], nulls_equal=True,
        suffix="_item",
    )  # fmt: skip
    # After the end of the commitment no fee is charged.
    event_day = day_number(pl.col("event_us"), pl.col("zone"), events["zone"].unique().drop_nulls().sort().to_list())
    is_committed = pl.col("months").is_null() | (event_day < day_months_after(pl.col("activated_day")))
    in_force = (pl.col("from_us_item") <= pl.col("event_us")) & (pl.col("event_us") < pl.col("to_us_item")).fill_null(True)
    charged = events.filter(in_force & is_committed).with_row_index("event_no")
    return _price_events(_with_event_discounts(charged, lists.of(DISCOUNT)))


def _list_life_events(spans: pl.DataFrame) -> pl.DataFrame:
    """Return the events of subscriptions, with the plan for which each is charged."""
    columns = ["view", "edition", "zone", "subscriber", "plan", "from_us", "to_us", "activated_day"]
    alive, continues = pl.col("status") != CEASED, pl.col("before_status").is_not_null() & (pl.col("before_status") != CEASED)
    changes = {
        "activation": (pl.col("status") == ACTIVE) & (pl.col("from_us") == pl.col("activated_us")),
        "plan_change": alive & continues & pl.col("plan").ne_missing(pl.col("before_plan")),
        "sim_change": alive & continues & pl.col("imsi").ne_missing(pl.col("before_imsi")),
    }
    begun = [spans.filter(when).select(*columns, event=pl.lit(name), event_us="from_us") for name, when in changes.items()]
    ended = spans.filter(pl.col("is_last") & pl.col("to_us").is_not_null())
    return pl.concat([*begun, ended.select(*columns, event=pl.lit("termination"), event_us="to_us")])


def _with_event_discounts(events: pl.DataFrame, discounts: pl.DataFrame) -> pl.DataFrame:
    """Add the sums of the discounts that name the item and are valid at the event."""
    named = discounts.filter(pl.col("applies_to").is_not_null() & pl.col("months").is_null())
    met = events.select("event_no", "edition", "plan", "zone", "name", "currency", "event_us").join(
        named.select("edition", "of_plan", "zone", "discount_micros", "from_us", "to_us", name="applies_to", d_currency="currency",
                     d_price="price_micros"),
        left_on=["edition", "plan", "zone", "name"], right_on=["edition", "of_plan", "zone", "name"], nulls_equal=True,
    )  # fmt: skip
    in_force = (pl.col("from_us") <= pl.col("event_us")) & (pl.col("event_us") < pl.col("to_us")).fill_null(True)
    same = pl.col("d_currency").is_null() | (pl.col("d_currency") == pl.col("currency"))
    sums = met.filter(in_force & same).group_by("event_no").agg(
        fraction_micros=pl.col("discount_micros").sum(), off_micros=pl.col("d_price").sum()
    )  # fmt: skip
    joined = events.join(sums, on="event_no", how="left", maintain_order="left")
    return joined.with_columns(pl.col("fraction_micros", "off_micros").fill_null(0))


def _price_events(events: pl.DataFrame) -> pl.DataFrame:
    zones = events["zone"].unique().sort().to_list()
    amount = to_decimals(_derive_net_price(pl.col("price_micros")), pl.lit(MICROS * MICROS, _WIDE))
    return events.select(
        "view", "subscriber", "service", "currency", item="name", is_recurring=pl.lit(False), period=pl.lit(None, pl.Int64),
        period_from_us="event_us",
        period_to_us=pl.lit(None, pl.Int64), due_us="event_us", expected_micros=amount,
        day=day_number(pl.col("event_us"), pl.col("zone"), zones).cast(pl.Int32).cast(pl.Date),
    ).select(pl.col(n).cast(t) for n, t in EXPECTATION.items())  # fmt: skip
