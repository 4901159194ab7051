"""Books every unit, and every counted record with it, in exactly one place."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.reconcile.domain.bookings import MAIN, PENDING, SESSION, SURPLUS, TOLERATED, UNRATED, as_bookings, with_days
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.policies import NEVER_POSITION
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.aggregation import book_periods
from trueup.reconcile.kernel.classification import classify, with_charged_price
from trueup.reconcile.kernel.matching import Matched
from trueup.reconcile.kernel.pool_netting import net_by_pool, netting_groups
from trueup.reconcile.pricing.allowance_pools import Pools
from trueup.reconcile.pricing.billing_error import JUDGED


@dataclass(frozen=True)
class Bookings:
    """`places` as in `PLACE`, and `members`: `component`, `record_no`, `charge`, `subject`, `part` of each counted record.

    `ties` (`component`, `subject`, `tie`) are the pairs whose amounts are judged with those of the same number; `differing` the
    sessions (`group_no`) of pairs that ask for such a judgement. `misrated` are the pairs (`JUDGED`) of which it may be asked why.
    """

    bookings: pl.DataFrame
    members: pl.DataFrame
    netting_groups: pl.DataFrame
    differing: pl.Series
    misrated: pl.DataFrame


def book(
    rows: pl.DataFrame, units: pl.DataFrame, matched: Matched, cells: pl.DataFrame, frontier: Frontier, terms: Terms,
    pools: Pools, *, together: bool,
) -> Bookings:  # fmt: skip
    """Books every unit of `units`, and every record of `rows` with it.

    `together` says that components hold all pairs that are to be judged with their pool; else those wait.
    """
    pair_places, pair_seats, judged, misrated = _pairs(units, matched, frontier, terms, pools, together=together)
    free_places, free_seats = _book_unmatched(matched.free)
    cell_places, cell_members = book_periods(rows, units, matched, cells, frontier, terms)
    places = pl.concat([pair_places, free_places, cell_places]).with_columns(kind=_drop_zero_impact())
    seats = pl.concat([pair_seats, free_seats])
    split = places.filter(pl.col("part") == SURPLUS).select("owner_no", split=pl.lit(True))
    seated = rows.select("component", "record_no", "group_no", "charge", "main").join(seats, on=["group_no", "charge"])
    members = (
        seated.join(split, on="owner_no", how="left")
        .with_columns(extra=pl.col("split").fill_null(False) & pl.col("charge") & (~pl.col("main") | pl.col("extra_unit")))
        .select("component", "record_no", "charge", "owner_no", part=pl.when("extra").then(SURPLUS).otherwise(MAIN).cast(pl.Int8))
    )
    every = pl.concat([members, cell_members])
    return Bookings(with_days(places, frontier), every, netting_groups(judged), judged["session"], misrated)


def _drop_zero_impact() -> pl.Expr:
    """No money, no finding; but what cannot be rated is told whatever it was billed."""
    silent = (pl.col("expected_micros") == pl.col("billed_micros")) & ~pl.col("kind").is_in([PENDING, UNRATED])
    return pl.when(silent).then(pl.lit(TOLERATED)).otherwise("kind")


def _pairs(
    units: pl.DataFrame, matched: Matched, frontier: Frontier, terms: Terms, pools: Pools, *, together: bool
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Sessions with their bills: one place, one more for charges beyond those needed, one more for a quantity of its own.

    Returns places, seats, the pairs that are judged with their pool, and those that are misrated.
    """
    bills = units.filter("charge").select(
        charge_group="group_no", charge_quantity="quantity_micros", main_micros="main_micros", group_micros="all_micros",
        group_is_complete="is_complete", group_complete_at="own_watermark_position",
    )  # fmt: skip
    further = matched.excess.join(bills, on="charge_group").group_by("session").agg(further_micros=pl.col("group_micros").sum())
    sessions = units.filter(~pl.col("charge")).rename({"quantity_micros": "usage_quantity"}).drop("main_micros")
    both = (
        matched.pairs.join(sessions, left_on="session", right_on="group_no").join(bills, on="charge_group")
        .join(further, on="session", how="left")
        .with_columns(extra_micros=pl.col("group_micros") - pl.col("main_micros") + pl.col("further_micros").fill_null(0))
        .with_columns(open=~pl.col("settled") & ~(pl.col("is_complete") & pl.col("group_is_complete")))
        .with_columns(split=(pl.col("extra_micros") > 0) & ~pl.col("open"))
        .with_columns(
            unrated=pl.col("expected_micros").is_null(),
            expected_micros=pl.col("expected_micros").fill_null(0),
            billed_micros=pl.col("main_micros") + pl.when("split").then(0).otherwise("extra_micros"),
        )
    )  # fmt: skip
    wakes = [
        pl.when(pl.col(c) > pl.col("at")).then(c).otherwise(NEVER_POSITION) for c in ("own_watermark_position", "group_complete_at")
    ]
    both = with_charged_price(both, terms, pools).with_columns(
        owner_no=pl.col("session") * 3 + SESSION, part=pl.lit(MAIN), started_us="start_us",
        unrated_records=pl.when("unrated").then(pl.col("records")).otherwise(0),
        next_check_position=pl.when("open").then(pl.min_horizontal(wakes)).otherwise(NEVER_POSITION),
    )  # fmt: skip
    both = net_by_pool(both, frontier, terms, together=together)
    # Why a pair is misrated is asked of what is told only, see `explained`.
    judged = classify(both).with_columns(reason=pl.when(pl.col("kind") == UNRATED).then("reason"))
    surplus = both.filter("split").with_columns(
        part=pl.lit(SURPLUS), kind=pl.lit("duplicate_charge"), reason=pl.lit(None, pl.String),
        expected_micros=pl.lit(0, pl.Int128), billed_micros=pl.col("extra_micros"), unrated_records=pl.lit(0, pl.UInt32),
    )  # fmt: skip
    seats = pl.concat(
        [
            both.select(group_no="session", charge=pl.lit(False), owner_no="owner_no", extra_unit=pl.lit(False)),
            both.select(group_no="charge_group", charge=pl.lit(True), owner_no="owner_no", extra_unit=pl.lit(False)),
            matched.excess.select(
                group_no="charge_group", charge=pl.lit(True), owner_no=pl.col("session") * 3 + SESSION, extra_unit=pl.lit(True)
            ),
        ]
    )
    misrated = judged.filter(pl.col("kind") == "misrated").select(JUDGED)
    return pl.concat([as_bookings(judged), as_bookings(surplus)]), seats, both.drop_nulls("verdict"), misrated


def _book_unmatched(free: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sessions and bills that belong to nobody: pending until final."""
    charge = pl.col("charge")
    final = pl.col("is_complete") & (pl.col("other_watermark_position") <= pl.col("at")) & ~pl.col("blocked_by_edge")
    unrated = ~charge & pl.col("expected_micros").is_null()
    told = (
        pl.when(charge).then(pl.lit("charge_without_usage")).when(unrated).then(pl.lit(UNRATED))
        .otherwise(pl.coalesce("billing_status", pl.lit("unbilled")))
    )  # fmt: skip
    candidates = [
        pl.when((pl.col(c) > pl.col("at")) & wanted).then(c).otherwise(NEVER_POSITION)
        for c, wanted in (
            ("own_watermark_position", pl.col("has_partials")),
            ("other_watermark_position", True),
            ("match_ready_at", pl.col("by_nearest")),
        )
    ]
    booked = free.with_columns(
        owner_no=pl.col("group_no") * 3 + charge.cast(pl.Int64), part=pl.lit(MAIN), started_us="start_us",
        kind=pl.when(final).then(told).otherwise(pl.lit(PENDING)), reason=pl.when(final & unrated).then("reason"),
        expected_micros=pl.col("expected_micros").fill_null(0),
        billed_micros=pl.when(charge).then("all_micros").otherwise(0),
        unrated_records=pl.when(unrated).then(pl.col("records")).otherwise(0),
        next_check_position=pl.when(final).then(NEVER_POSITION).otherwise(pl.min_horizontal(candidates)),
    )  # fmt: skip
    return as_bookings(booked), booked.select("group_no", "charge", "owner_no", extra_unit=pl.lit(False))
