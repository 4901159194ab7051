"""Booking: every unit, and every counted record with it, enters exactly one booking per position.

A session of 10 units used (10.00 expected) matches a charge group of 7 units (7.00 billed) with one excess charge of 2.00. The pair
is *underbilled* by 3.00 and the excess is a *duplicate charge* of −2.00. Whatever the kinds are, the two sides of the
conservation sum agree:

>>> from trueup.reconcile.kernel.ledger import ledger_amounts
>>> bookings = pl.DataFrame({
...     "kind": ["underbilled", "duplicate_charge", "tolerated", "pending"],
...     "expected_micros": [10_000_000, 0, 1_000_000, 4_000_000],
...     "billed_micros": [7_000_000, 2_000_000, 1_000_100, 0],
... })
>>> amounts = bookings.with_columns(ledger_amounts()).sum()
>>> amounts.select("impact_micros", "tolerated_micros", "pending_micros").row(0)
(1000000, -100, 4000000)
>>> amounts.select(pl.col("expected_micros") - pl.col("billed_micros")).item()  # = 1000000 - 100 + 4000000
4999900
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.policies.policy import NEVER_POSITION
from trueup.reconcile.domain.bookings import MAIN, PENDING, SESSION, SURPLUS, TOLERATED, UNRATED, as_bookings, with_days
from trueup.reconcile.kernel.aggregation import book_periods
from trueup.reconcile.kernel.classification import classify, with_charged_price
from trueup.reconcile.kernel.context import EvaluationContext
from trueup.reconcile.kernel.matching import Matched
from trueup.reconcile.kernel.pool_netting import net_by_pool, netting_groups
from trueup.reconcile.pricing.billing_error import JUDGED


@dataclass(frozen=True)
class Bookings:
    """Bookings with their members, netting groups and the pairs that need a further look.

    `bookings` are rows of `BOOKING`. `members` (`MEMBER`) give each counted record its booking. `netting_groups` are rows of
    `NETTING_GROUP`. `differing` are the sessions (`group_no`) of pairs that are judged with their pool. `misrated` are the
    misrated pairs (`JUDGED`), of which a finding may need the reason.
    """

    bookings: pl.DataFrame
    members: pl.DataFrame
    netting_groups: pl.DataFrame
    differing: pl.Series
    misrated: pl.DataFrame


def book(
    rows: pl.DataFrame, units: pl.DataFrame, matched: Matched, cells: pl.DataFrame, context: EvaluationContext, *, together: bool
) -> Bookings:
    """Book every unit of `units`, and every record of `rows` with it.

    With `together`, components hold all pairs that are judged with their pool; without it such pairs stay pending.
    """
    pair_bookings, pair_memberships, netted, misrated = _book_pairs(units, matched, context, together=together)
    unmatched_bookings, unmatched_memberships = _book_unmatched(matched.free)
    period_bookings, period_members = book_periods(rows, units, matched, cells, context.frontier, context.terms)
    bookings = pl.concat([pair_bookings, unmatched_bookings, period_bookings]).with_columns(kind=_drop_zero_impact())
    memberships = pl.concat([pair_memberships, unmatched_memberships])
    split = bookings.filter(pl.col("part") == SURPLUS).select("owner_no", split=pl.lit(True))
    with_owner = rows.select("component", "at", "record_no", "group_no", "charge", "main").join(
        memberships, on=["group_no", "charge"]
    )
    members = (
        with_owner.join(split, on="owner_no", how="left")
        .with_columns(
            in_surplus=pl.col("split").fill_null(False) & pl.col("charge") & (~pl.col("main") | pl.col("in_excess_group"))
        )
        .select(
            "component",
            "at",
            "record_no",
            "charge",
            "owner_no",
            part=pl.when("in_surplus").then(SURPLUS).otherwise(MAIN).cast(pl.Int8),
        )
    )
    all_members = pl.concat([members, period_members])
    return Bookings(with_days(bookings, context.frontier), all_members, netting_groups(netted), netted["session"], misrated)


def _drop_zero_impact() -> pl.Expr:
    """Return the kind, `tolerated` where the impact is zero; unrated usage stays a finding whatever was billed."""
    no_impact = (pl.col("expected_micros") == pl.col("billed_micros")) & ~pl.col("kind").is_in([PENDING, UNRATED])
    return pl.when(no_impact).then(pl.lit(TOLERATED)).otherwise("kind")


def _book_pairs(
    units: pl.DataFrame, matched: Matched, context: EvaluationContext, *, together: bool
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Book sessions with their charge groups: one booking, plus one for excess charges, plus one for a difference by quantity.

    Return bookings, memberships, the pairs that are judged with their pool, and the misrated pairs.
    """
    charge_groups = units.filter("charge").select(
        charge_group="group_no", charge_quantity="quantity_micros", main_micros="main_micros", group_micros="all_micros",
        group_is_complete="is_complete", group_complete_at="own_watermark_position",
    )  # fmt: skip
    excess = (
        matched.excess.join(charge_groups, on="charge_group").group_by("session").agg(further_micros=pl.col("group_micros").sum())
    )
    sessions = units.filter(~pl.col("charge")).rename({"quantity_micros": "usage_quantity"}).drop("main_micros")
    pairs = (
        matched.pairs.join(sessions, left_on="session", right_on="group_no").join(charge_groups, on="charge_group")
        .join(excess, on="session", how="left")
        .with_columns(extra_micros=pl.col("group_micros") - pl.col("main_micros") + pl.col("further_micros").fill_null(0))
        .with_columns(open=~pl.col("settled") & ~(pl.col("is_complete") & pl.col("group_is_complete")))
        .with_columns(split=(pl.col("extra_micros") > 0) & ~pl.col("open"))
        .with_columns(
            unrated=pl.col("expected_micros").is_null(),
            expected_micros=pl.col("expected_micros").fill_null(0),
            billed_micros=pl.col("main_micros") + pl.when("split").then(0).otherwise("extra_micros"),
        )
    )  # fmt: skip
    next_checks = [
        pl.when(pl.col(c) > pl.col("at")).then(c).otherwise(NEVER_POSITION) for c in ("own_watermark_position", "group_complete_at")
    ]
    pairs = with_charged_price(pairs, context.terms, context.pools).with_columns(
        owner_no=pl.col("session") * 3 + SESSION, part=pl.lit(MAIN), started_us="start_us",
        unrated_records=pl.when("unrated").then(pl.col("records")).otherwise(0),
        next_check_position=pl.when("open").then(pl.min_horizontal(next_checks)).otherwise(NEVER_POSITION),
    )  # fmt: skip
    pairs = net_by_pool(pairs, context.frontier, context.terms, together=together)
    # The reason of a misrated pair is computed for findings only, see `add_misrating_reason`.
    judged = classify(pairs).with_columns(reason=pl.when(pl.col("kind") == UNRATED).then("reason"))
    surplus = pairs.filter("split").with_columns(
        part=pl.lit(SURPLUS), kind=pl.lit("duplicate_charge"), reason=pl.lit(None, pl.String),
        expected_micros=pl.lit(0, pl.Int128), billed_micros=pl.col("extra_micros"), unrated_records=pl.lit(0, pl.UInt32),
    )  # fmt: skip
    memberships = pl.concat(
        [
            pairs.select(group_no="session", charge=pl.lit(False), owner_no="owner_no", in_excess_group=pl.lit(False)),
            pairs.select(group_no="charge_group", charge=pl.lit(True), owner_no="owner_no", in_excess_group=pl.lit(False)),
            matched.excess.select(
                group_no="charge_group", charge=pl.lit(True), owner_no=pl.col("session") * 3 + SESSION, in_excess_group=pl.lit(True)
            ),
        ]
    )
    misrated = judged.filter(pl.col("kind") == "misrated").select(JUDGED)
    return pl.concat([as_bookings(judged), as_bookings(surplus)]), memberships, pairs.drop_nulls("verdict"), misrated


def _book_unmatched(unmatched: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Book unmatched sessions and charge groups: pending until final."""
    charge = pl.col("charge")
    final = pl.col("is_complete") & (pl.col("other_watermark_position") <= pl.col("at")) & ~pl.col("blocked_by_edge")
    unrated = ~charge & pl.col("expected_micros").is_null()
    final_kind = (
        pl.when(charge).then(pl.lit("charge_without_usage")).when(unrated).then(pl.lit(UNRATED))
        .otherwise(pl.coalesce("billing_status", pl.lit("unbilled")))
    )  # fmt: skip
    next_checks = [
        pl.when((pl.col(c) > pl.col("at")) & applies).then(c).otherwise(NEVER_POSITION)
        for c, applies in (
            ("own_watermark_position", pl.col("has_partials")),
            ("other_watermark_position", True),
            ("match_ready_at", pl.col("by_nearest")),
        )
    ]
    bookings = unmatched.with_columns(
        owner_no=pl.col("group_no") * 3 + charge.cast(pl.Int64), part=pl.lit(MAIN), started_us="start_us",
        kind=pl.when(final).then(final_kind).otherwise(pl.lit(PENDING)), reason=pl.when(final & unrated).then("reason"),
        expected_micros=pl.col("expected_micros").fill_null(0),
        billed_micros=pl.when(charge).then("all_micros").otherwise(0),
        unrated_records=pl.when(unrated).then(pl.col("records")).otherwise(0),
        next_check_position=pl.when(final).then(NEVER_POSITION).otherwise(pl.min_horizontal(next_checks)),
    )  # fmt: skip
    return as_bookings(bookings), bookings.select("group_no", "charge", "owner_no", in_excess_group=pl.lit(False))
