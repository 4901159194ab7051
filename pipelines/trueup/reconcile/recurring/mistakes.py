"""Billing mistakes: find the first hypothesis that gives exactly the billed amount.

A hypothesis is another price list or another course of the subscription. The expectations of a hypothesis are computed in the same
way as the real expectations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import polars as pl

from trueup.rating.book import DISCOUNT
from trueup.rating.charged_items.items import NOT_PRORATED
from trueup.reconcile.recurring.assessment import MISRATED, UNBILLED, UNEXPLAINED
from trueup.reconcile.recurring.expectations import PriceLists, expectations_of
from trueup.reconcile.recurring.subscription_views import CEASED, SUSPENDED, SubscriptionViews, with_life

_MOST_MONTHS = 1200
Made = tuple[SubscriptionViews, PriceLists]


def with_reasons(
    bookings: pl.DataFrame, made: Made, items: pl.DataFrame, reached: pl.DataFrame, lines: pl.DataFrame
) -> pl.DataFrame:
    """Add `reason` to assessed rows; NULL where no hypothesis gives the billed amount.

    `made` are the views and price lists of the expectations, `items` the whole book (`ITEM`), and `lines` all matches of charges
    (`subscriber`, `item`, `since`, `until`).
    """
    numbered = bookings.with_row_index("row")
    found = [_find_never_charged(numbered.filter(pl.col("kind") == UNBILLED), lines)]
    is_late = pl.col("beyond_horizon").fill_null(False)
    left = numbered.filter(pl.col("kind").is_in([MISRATED, UNEXPLAINED]) & (pl.col("billed_micros") != 0) & ~is_late)
    if left.height:
        few = _restrict_to_bookings(left, *made)
        few_reached = reached.join(left.select("view").unique(), on="view", how="semi")
        for kind, reason, supposed in _list_hypotheses(*few):
            candidates = left.filter(pl.col("kind") == kind)
            if candidates.height:
                matched = _match_billed_amounts(candidates, expectations_of(*supposed(), few_reached))
                found.append(matched.with_columns(reason=pl.lit(reason)))
                left = left.join(matched, on="row", how="anti")
        found.append(_explain_unexpected_charges(left.filter(pl.col("kind") == UNEXPLAINED), *few, items))
    reasons = pl.concat(found)
    return numbered.join(reasons, on="row", how="left", maintain_order="left").drop("row")


def _restrict_to_bookings(rows: pl.DataFrame, views: SubscriptionViews, lists: PriceLists) -> Made:
    """Return the views and price lists of some bookings only."""
    of_rows = rows.select("view").unique()
    kept_views, kept_spans = (frame.join(of_rows, on="view", how="semi") for frame in (views.views, views.spans))
    few = SubscriptionViews(kept_views, kept_spans, views.starts)
    names = rows["item"].unique()
    used = lists.rows.filter(pl.col("name").is_in(names.implode()) | (pl.col("kind") == DISCOUNT))
    return few, PriceLists(used.join(few.spans.select("edition").unique(), on="edition", how="semi"))


def _list_hypotheses(views: SubscriptionViews, lists: PriceLists) -> Iterator[tuple[str, str, Callable[[], Made]]]:
    """Yield the kind of booking, the reason, and the views and price lists of each hypothesis."""
    rows, spans = lists.rows, views.spans
    no_discount = rows.filter(pl.col("kind") != DISCOUNT)
    if no_discount.height < rows.height:
        yield MISRATED, "discount_not_applied", lambda: (views, PriceLists(no_discount))
        yield MISRATED, "discount_expired", lambda: (views, PriceLists(_extend_discounts(rows)))
    key = ["edition", "of_plan", "zone", "kind", "name"]
    before = pl.col("price_micros").shift(1).over(key)
    prices = pl.when(pl.col("kind") == DISCOUNT).then("price_micros").otherwise(pl.coalesce(before, "price_micros"))
    yield (
        MISRATED,
        "old_price",
        lambda: (views, PriceLists(rows.sort(*key, "from_us", nulls_last=True).with_columns(price_micros=prices))),
    )
    plan = pl.col("plan")
    previous = plan.shift(1).over("view")
    changed = pl.when(plan.ne_missing(previous) & previous.is_not_null()).then(previous)
    old = changed.forward_fill().over("view")
    yield (
        MISRATED,
        "old_plan",
        lambda: (replace(views, spans=spans.sort("view", "from_us").with_columns(plan=pl.coalesce(old, plan))), lists),
    )
    whole = PriceLists(rows.with_columns(proration=pl.lit(NOT_PRORATED)))
    yield MISRATED, "not_prorated", lambda: (views, whole)
    # Use the last price of the period for the whole period, instead of the first.
    yield MISRATED, "not_prorated", lambda: (replace(views, spans=_backdate_plans(spans)), whole)
    yield UNEXPLAINED, "after_cessation", lambda: (replace(views, spans=_ignore_cessations(spans)), lists)
    yield UNEXPLAINED, "while_suspended", lambda: (views, PriceLists(rows.with_columns(charged_suspended=pl.lit(True))))


def _extend_discounts(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a price list whose discounts last until another version begins. A plan's own discount hides a general one for ever."""
    key = ["edition", "of_plan", "zone", "kind", "name", "applies_to"]
    is_discount, is_own = pl.col("kind") == DISCOUNT, pl.col("plan").is_not_null()
    ordered = rows.sort(*key, "from_us", nulls_last=True)
    kept = ordered.filter(~is_discount | is_own | ~is_own.cum_max().over(key))
    following = pl.col("from_us").shift(-1).over(key)
    return kept.with_columns(
        to_us=pl.when(is_discount).then(following).otherwise("to_us"),
        months=pl.when(is_discount & pl.col("months").is_not_null()).then(_MOST_MONTHS).otherwise("months"),
    )


def _backdate_plans(spans: pl.DataFrame) -> pl.DataFrame:
    """Return spans in which each plan began when the previous one did, so that the last plan of a period covers all of it."""
    following = pl.col("plan").shift(-1).over("view")
    return spans.sort("view", "from_us").with_columns(plan=pl.coalesce(following, "plan"))


def _ignore_cessations(spans: pl.DataFrame) -> pl.DataFrame:
    """Return spans as if no subscription had ceased."""
    alive = spans.filter(pl.col("status") != CEASED).sort("view", "from_us")
    return with_life(alive.with_columns(to_us=pl.col("from_us").shift(-1).over("view")))


def _match_billed_amounts(rows: pl.DataFrame, alternatives: pl.DataFrame) -> pl.DataFrame:
    """Return the `row` of bookings whose billed amount is what an alternative expects of that item at that time."""
    others = alternatives.select(
        "view", "item", "currency", alt_from="period_from_us", alt_to="period_to_us", alternative="expected_micros"
    )  # fmt: skip
    met = rows.join(others, on=["view", "item", "currency"])
    same_time = (pl.col("matched_us") >= pl.col("alt_from")) & (pl.col("matched_us") < pl.col("alt_to")).fill_null(True)
    tolerance = pl.col("tolerance_micros").cast(pl.Int128)
    difference = pl.col("alternative") - pl.col("billed_micros")
    equal = (difference <= tolerance) & (difference >= tolerance * -1)
    return met.filter(same_time & equal).select("row").unique()


def _find_never_charged(unbilled: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Return the reason of unbilled periods of items of which no charge is known at that position."""
    charged = unbilled.select("row", "subscriber", "item", "at").join(
        lines.select("subscriber", "item", "since", "until"), on=["subscriber", "item"]
    ).filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")))  # fmt: skip
    never = unbilled.filter(pl.col("is_recurring")).join(charged, on="row", how="anti")
    return never.select("row", reason=pl.lit("never_since_activation"))


def _explain_unexpected_charges(
    rows: pl.DataFrame, views: SubscriptionViews, lists: PriceLists, items: pl.DataFrame
) -> pl.DataFrame:
    """Return the reason why charges have no expectation, for those that no hypothesis explains."""
    known = views.spans.select("view", known=pl.lit(True)).unique()
    ceased = views.spans.filter(pl.col("status") == CEASED).group_by("view").agg(ceased_us=pl.col("from_us").max())
    ended = (
        views.spans.filter(pl.col("is_last") & pl.col("to_us").is_not_null()).group_by("view").agg(ended_us=pl.col("to_us").max())
    )
    offered = views.spans.select("view", "edition", "plan", "zone").unique().join(
        lists.rows.select("edition", "of_plan", "zone", "name", has_item=pl.lit(True)).unique(),
        left_on=["edition", "plan", "zone"], right_on=["edition", "of_plan", "zone"], nulls_equal=True,
    ).group_by("view", item="name").agg(pl.col("has_item").first())  # fmt: skip
    joined = rows.select("row", "view", "item", "currency", "matched_us", "at").join(offered, on=["view", "item"], how="left")
    for facts in (known, ceased, ended):
        joined = joined.join(facts, on="view", how="left")
    over = pl.coalesce("ended_us", "ceased_us") <= pl.col("matched_us")
    # Only the rows known at the position of a booking explain it, whatever later positions add to the book.
    of_item = items.group_by(item="name").agg(item_since=pl.col("since").min())
    same = items.group_by("currency", item="name").agg(currency_since=pl.col("since").min())
    at_rest = views.spans.filter(pl.col("status") == SUSPENDED).select("view", "from_us", "to_us")
    rests = joined.select("row", "view", "matched_us").join(at_rest, on="view").filter(
        (pl.col("from_us") <= pl.col("matched_us")) & (pl.col("matched_us") < pl.col("to_us")).fill_null(True)
    ).select("row", is_suspended=pl.lit(True)).unique()  # fmt: skip
    joined = joined.join(rests, on="row", how="left")
    named = joined.join(of_item, on="item", how="left").join(same, on=["item", "currency"], how="left")
    in_book, same_currency = ((pl.col(n) <= pl.col("at")).fill_null(False) for n in ("item_since", "currency_since"))
    reason = (
        pl.when(pl.col("known").is_null()).then(pl.lit("unknown_subscription"))
        .when(over.fill_null(False)).then(pl.lit("after_cessation"))
        .when(~in_book).then(pl.lit("unknown_item"))
        .when(~same_currency).then(pl.lit("other_currency"))
        .when(pl.col("has_item").is_null()).then(pl.lit("unknown_plan"))
        .when(pl.col("is_suspended").fill_null(False)).then(pl.lit("while_suspended"))
    )  # fmt: skip
    return named.select("row", reason=reason).drop_nulls()
