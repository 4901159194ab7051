"""Booking: enter every unit, with its counted records, into exactly one booking per position.

A session of 10 units used (10.00 expected) matches a charge group of 7 units (7.00 billed) with one excess charge of 2.00. The pair
is *underbilled* by 3.00 and the excess is a *duplicate charge* of −2.00. For all kinds, the two sides of the conservation sum
agree:

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

from trueup.reconcile.domain.bookings import (
    CHARGE_GROUP,
    MAIN,
    PENDING,
    SESSION,
    SURPLUS,
    UNRATED,
    as_bookings,
    drop_zero_impact,
    with_days,
)
from trueup.reconcile.kernel.aggregation import PeriodSums, book_periods
from trueup.reconcile.kernel.classification import classify
from trueup.reconcile.kernel.context import EvaluationContext
from trueup.reconcile.kernel.corrections import corrected_kind, corrections_at, total_micros, with_money
from trueup.reconcile.kernel.matching import SPAN, Matched
from trueup.reconcile.kernel.pool_netting import net_by_pool, netting_groups
from trueup.reconcile.pricing.billing_error import JUDGED

_OWNERS = ["span_at", "at", "group_no", "charge", "owner_no", "in_excess_group"]


@dataclass(frozen=True)
class Bookings:
    """Bookings with their members and netting groups, and the pairs that need further evaluation.

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
    rows: pl.DataFrame, matched: Matched, sums: PeriodSums, evaluations: pl.DataFrame, context: EvaluationContext, *, together: bool
) -> Bookings:
    """Book every unit at every evaluation, and every record of `rows` with it.

    With `together`, components contain all pairs that are judged with their pool; otherwise such pairs stay pending.
    """
    sessions, charge_groups = _join_matches_to_units(evaluations, matched)
    corrections = corrections_at(rows, [sessions, charge_groups], sums.members)
    sessions, charge_groups = (with_money(frame, corrections) for frame in (sessions, corrections.without(charge_groups)))
    pairs = net_by_pool(_join_pairs(sessions, charge_groups, context), context.frontier, context.prices.terms, together=together)
    # The reason of a misrated pair is computed for findings only, see `add_misrating_reason`.
    judged = classify(pairs).with_columns(reason=pl.when(pl.col("kind") == UNRATED).then("reason"))
    surplus = pairs.filter("split")
    period_bookings, period_members = book_periods(sums, evaluations, corrections.money)
    unmatched_bookings = _book_unmatched(sessions, charge_groups, matched.blocked)
    bookings = pl.concat([as_bookings(judged), _book_surplus(surplus), *unmatched_bookings, period_bookings])
    is_booked = pl.col("is_matched") | ~pl.col("by_aggregate")
    owners = pl.concat([*(frame.filter(is_booked).select(_OWNERS) for frame in (sessions, charge_groups)), corrections.owners])
    netted = pairs.drop_nulls("verdict")
    return Bookings(
        with_days(bookings.with_columns(kind=drop_zero_impact()), context.frontier),
        pl.concat([_list_members(rows, owners, surplus), period_members]), netting_groups(netted), netted["session"],
        judged.filter(pl.col("kind") == "misrated").select(JUDGED),
    )  # fmt: skip


def _join_matches_to_units(evaluations: pl.DataFrame, matched: Matched) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (sessions, charge groups) at every evaluation, with their match at its position.

    `at` becomes the position of the evaluation. `is_matched` marks units of a pair and excess charge groups. `session` and
    `charge_group` are the numbers of the pair, and `owner_no` is that of the unit's booking.
    """
    at, number = pl.col("position"), pl.col("group_no")
    is_settled = pl.col("settled_at") <= at
    has_exact_match = pl.col("same_key") & (pl.col("partner_settled_at") > at)
    is_charge_matched = is_settled | pl.col("same_key")
    session = pl.when(is_settled).then("partner").otherwise("group_no")
    moment = {"span_at": "at", "at": "position"}
    sessions = matched.sessions.join(evaluations, on=SPAN).with_columns(
        **moment, is_settled=is_settled, is_matched=is_settled | has_exact_match, is_complete=pl.col("complete_at") <= at,
        session="group_no", charge_group=session, owner_no=number * 3 + SESSION, in_excess_group=pl.lit(False),
    )  # fmt: skip
    charge_groups = matched.charge_groups.join(evaluations, on=SPAN).with_columns(
        **moment, is_matched=is_charge_matched, is_complete=pl.col("complete_at") <= at, session=session,
        owner_no=pl.when(is_charge_matched).then(session * 3 + SESSION).otherwise(number * 3 + CHARGE_GROUP),
        in_excess_group=pl.col("same_key") & ~is_settled & ~has_exact_match,
    )  # fmt: skip
    return sessions, charge_groups


def _join_pairs(sessions: pl.DataFrame, charge_groups: pl.DataFrame, context: EvaluationContext) -> pl.DataFrame:
    """Return sessions with their charge groups, the money of both, and the price of the charged quantity.

    Excess charge groups of a session are `extra_micros` of its pair. `split` marks pairs whose excess has a booking of its own.
    """
    charged = charge_groups.filter("is_matched").select(
        "at", "in_excess_group", "session", charge_group="group_no", charge_quantity="quantity_micros", charged_main="main_micros",
        group_micros="all_micros", group_is_complete="is_complete",
    )  # fmt: skip
    further = charged.filter("in_excess_group").group_by("at", "session").agg(further_micros=pl.col("group_micros").sum())
    excess = (
        pl.col("group_micros")
        - pl.col("charged_main")
        + pl.col("further_micros").fill_null(0)
        + pl.col("credited_micros").fill_null(0)
    )
    is_open = ~pl.col("is_settled") & ~(pl.col("is_complete") & pl.col("group_is_complete"))
    has_split, unrated = (excess > 0) & ~is_open, pl.col("expected_micros").is_null()
    pairs = (
        sessions.filter("is_matched").drop("main_micros", "all_micros").rename({"quantity_micros": "usage_quantity"})
        .join(charged.drop("session", "in_excess_group"), on=["at", "charge_group"])
        .join(further, on=["at", "session"], how="left")
        .with_columns(
            extra_micros=excess, open=is_open, split=has_split, unrated=unrated, part=pl.lit(MAIN), started_us="start_us",
            expected_micros=pl.col("expected_micros").fill_null(0),
            billed_micros=pl.col("charged_main") + pl.col("corrected_micros").fill_null(0)
            + pl.when(has_split).then(0).otherwise(excess),
            is_corrected=pl.col("corrected_micros").is_not_null(),
            unrated_records=pl.when(unrated).then(pl.col("records")).otherwise(0),
        )
    )  # fmt: skip
    return context.prices.with_charged_price(pairs)


def _book_surplus(split: pl.DataFrame) -> pl.DataFrame:
    """Return the bookings of excess charges that were split from their pair."""
    return as_bookings(
        split.with_columns(
            part=pl.lit(SURPLUS), kind=pl.lit("duplicate_charge"), reason=pl.lit(None, pl.String),
            expected_micros=pl.lit(0, pl.Int128), billed_micros=pl.col("extra_micros"), unrated_records=pl.lit(0, pl.UInt32),
        )
    )  # fmt: skip


def _book_unmatched(sessions: pl.DataFrame, charge_groups: pl.DataFrame, blocked: pl.DataFrame) -> list[pl.DataFrame]:
    """Book unmatched sessions and charge groups: pending until final."""
    final = pl.col("is_complete") & (pl.col("other_watermark_position") <= pl.col("at")) & ~pl.col("is_blocked").fill_null(False)
    unrated = pl.col("expected_micros").is_null()
    usage_kind = pl.when(unrated).then(pl.lit(UNRATED)).otherwise(pl.coalesce("billing_status", pl.lit("unbilled")))
    usage = _select_unmatched(sessions, blocked).with_columns(
        kind=pl.when(final).then(pl.when(unrated).then(usage_kind).otherwise(corrected_kind(usage_kind))).otherwise(pl.lit(PENDING)),
        reason=pl.when(final & unrated).then("reason"),
        expected_micros=pl.col("expected_micros").fill_null(0), billed_micros=total_micros(),
        unrated_records=pl.when(unrated).then(pl.col("records")).otherwise(0),
    )  # fmt: skip
    charges = _select_unmatched(charge_groups, blocked).with_columns(
        kind=pl.when(final).then(pl.lit("charge_without_usage")).otherwise(pl.lit(PENDING)), reason=pl.lit(None, pl.String),
        expected_micros=pl.lit(0), billed_micros=pl.col("all_micros") + total_micros(), unrated_records=pl.lit(0),
    )  # fmt: skip
    return [as_bookings(usage), as_bookings(charges)]


def _select_unmatched(units: pl.DataFrame, blocked: pl.DataFrame) -> pl.DataFrame:
    """Return unmatched units with `is_blocked`: true where an undecided edge blocks the unit at its position, else NULL."""
    unmatched = units.filter(~pl.col("is_matched") & ~pl.col("by_aggregate")).with_columns(
        part=pl.lit(MAIN), started_us="start_us", is_blocked=pl.lit(None, pl.Boolean)
    )
    if blocked.is_empty():
        return unmatched
    of_span = ["group_no", "charge", "span_at"]
    of_units = unmatched.select(*of_span, "at").join(blocked.rename({"at": "span_at"}), on=of_span)
    within = of_units.filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")))
    return unmatched.drop("is_blocked").join(
        within.select("group_no", "at", is_blocked=pl.lit(True)), on=["group_no", "at"], how="left"
    )


def _list_members(rows: pl.DataFrame, owners: pl.DataFrame, surplus: pl.DataFrame) -> pl.DataFrame:
    """Return the booking of each record of the owners' groups at each evaluation (`MEMBER`)."""
    split = surplus.select("at", "owner_no", split=pl.lit(True))
    in_surplus = pl.col("split").fill_null(False) & pl.col("charge") & (~pl.col("main") | pl.col("in_excess_group"))
    part = pl.when(in_surplus).then(SURPLUS).otherwise(MAIN).cast(pl.Int8)
    return (
        rows.select("component", "record_no", "group_no", "charge", "main", span_at="at")
        .join(owners, on=["span_at", "group_no", "charge"])
        .join(split, on=["at", "owner_no"], how="left")
        .select("component", "at", "record_no", "charge", "owner_no", part=part)
    )
