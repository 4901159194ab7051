"""Where the money of each record is: every counted record gets one place, every place one kind.

A *place* is booked under a subject (a session, a bill without usage, or a period of sums) and, for charges beyond those a
session needed, once more as `extra`. Its kind is `pending`, `tolerated` or the kind of a finding. expected − billed of all
places of a (service, day, currency) is the conservation sum's left side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.rating.flat import flat_price
from trueup.reconcile.components import CELL
from trueup.reconcile.frontier import Frontier
from trueup.reconcile.localtime import local_day, period_first_day, period_index, period_last_us
from trueup.reconcile.match import Matched
from trueup.reconcile.rules import NEVER, UNTOLD_US

PENDING, TOLERATED, UNRATED = "pending", "tolerated", "unrated"
SESSION, BILL, PERIOD = 0, 1, 2
"""What a subject number modulo 3 says it is; the rest is the number of its group or period."""

PLACE: dict[str, pl.DataType] = {
    "component": pl.Int64(),
    "at": pl.Int64(),
    "subject": pl.Int64(),
    "extra": pl.Boolean(),
    "kind": pl.String(),
    "service": pl.String(),
    "day": pl.Date(),
    "currency": pl.String(),
    "expected_micros": pl.Int128(),
    "billed_micros": pl.Int128(),
    "unrated_records": pl.Int64(),
    "bucket": pl.Int16(),
    "subscriber": pl.String(),
    "peer": pl.String(),
    "node": pl.String(),
    "started_us": pl.Int64(),
    "wake": pl.Int64(),  # the next position at which it could change by itself
}
MEMBER: dict[str, pl.DataType] = {
    "component": pl.Int64(),
    "rid": pl.Int64(),
    "charge": pl.Boolean(),
    "subject": pl.Int64(),
    "extra": pl.Boolean(),
}


@dataclass(frozen=True)
class Assessed:
    """`places` as in `PLACE`, and `members`: `component`, `rid`, `charge`, `subject`, `extra` of each counted record."""

    places: pl.DataFrame
    members: pl.DataFrame


def assess(rows: pl.DataFrame, units: pl.DataFrame, matched: Matched, cells: pl.DataFrame, frontier: Frontier) -> Assessed:
    """Books every unit of `units`, and every record of `rows` with it."""
    pair_places, pair_seats = _pairs(units, matched)
    free_places, free_seats = _free(matched.free)
    cell_places, cell_members = _periods(rows, units, matched, cells, frontier)
    places = pl.concat([pair_places, free_places, cell_places]).with_columns(kind=_worth_a_finding())
    seats = pl.concat([pair_seats, free_seats])
    split = places.filter("extra").select("subject", split=pl.lit(True))
    seated = rows.select("component", "rid", "gid", "charge", "main").join(seats, on=["gid", "charge"])
    members = (
        seated.join(split, on="subject", how="left")
        .with_columns(extra=pl.col("split").fill_null(False) & pl.col("charge") & (~pl.col("main") | pl.col("extra_unit")))
        .select("component", "rid", "charge", "subject", "extra")
    )
    return Assessed(_with_days(places, frontier), pl.concat([members, cell_members]))


def _worth_a_finding() -> pl.Expr:
    """No money, no finding; but what cannot be rated is told whatever it was billed."""
    silent = (pl.col("expected_micros") == pl.col("billed_micros")) & ~pl.col("kind").is_in([PENDING, UNRATED])
    return pl.when(silent).then(pl.lit(TOLERATED)).otherwise("kind")


def mismatch() -> pl.Expr:
    """The kind of a matched pair or period by its own columns: usage and charge quantities, rules, expected and billed.

    `charge_quantity` is NULL where a charge names none: it is then judged by its amount alone. Billed between the prices of
    the two quantities, widened by the amount tolerance, is tolerated: a unit rounded across the quantity tolerance is no error.
    """
    expected, billed = pl.col("expected_micros"), pl.col("billed_micros")
    apart = (pl.col("usage_quantity") - pl.col("charge_quantity")).abs() > pl.col("quantity_tolerance_micros")
    other = flat_price(pl.col("charge_quantity"), pl.col("price_micros"), pl.col("price_per"))
    other = pl.coalesce(pl.when(pl.col("charge_quantity").is_not_null()).then(other), expected)
    low = pl.min_horizontal(expected, other) - pl.col("amount_tolerance_micros")
    high = pl.max_horizontal(expected, other) + pl.col("amount_tolerance_micros")
    return (
        pl.when(apart.fill_null(False)).then(pl.when(expected > billed).then(pl.lit("underbilled")).otherwise(pl.lit("overbilled")))
        .when((low <= billed) & (billed <= high)).then(pl.lit(TOLERATED)).otherwise(pl.lit("misrated"))
    )  # fmt: skip


def _pairs(units: pl.DataFrame, matched: Matched) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sessions with their bills: one place, and one more for charges beyond those needed."""
    bills = units.filter("charge").select(
        bill="gid", charge_quantity="quantity_micros", main_micros="main_micros", bill_micros="all_micros",
        bill_whole="whole", bill_whole_at="own_passed",
    )  # fmt: skip
    further = matched.excess.join(bills, on="bill").group_by("session").agg(further_micros=pl.col("bill_micros").sum())
    sessions = units.filter(~pl.col("charge")).rename({"quantity_micros": "usage_quantity"}).drop("main_micros")
    both = (
        matched.pairs.join(sessions, left_on="session", right_on="gid").join(bills, on="bill")
        .join(further, on="session", how="left")
        .with_columns(extra_micros=pl.col("bill_micros") - pl.col("main_micros") + pl.col("further_micros").fill_null(0))
        .with_columns(open=~pl.col("settled") & ~(pl.col("whole") & pl.col("bill_whole")))
        .with_columns(split=(pl.col("extra_micros") > 0) & ~pl.col("open"))
        .with_columns(
            unrated=pl.col("expected_micros").is_null(),
            expected_micros=pl.col("expected_micros").fill_null(0),
            billed_micros=pl.col("main_micros") + pl.when("split").then(0).otherwise("extra_micros"),
        )
    )  # fmt: skip
    kind = pl.when("open").then(pl.lit(PENDING)).when("unrated").then(pl.lit(UNRATED)).otherwise(mismatch())
    wakes = [pl.when(pl.col(c) > pl.col("at")).then(c).otherwise(NEVER) for c in ("own_passed", "bill_whole_at")]
    both = both.with_columns(
        subject=pl.col("session") * 3 + SESSION, kind=kind, extra=pl.lit(False), started_us="start_us",
        unrated_records=pl.when("unrated").then(pl.col("records")).otherwise(0),
        wake=pl.when("open").then(pl.min_horizontal(wakes)).otherwise(NEVER),
    )  # fmt: skip
    surplus = both.filter("split").with_columns(
        extra=pl.lit(True), kind=pl.lit("duplicate_charge"), expected_micros=pl.lit(0, pl.Int128),
        billed_micros=pl.col("extra_micros"), unrated_records=pl.lit(0, pl.UInt32),
    )  # fmt: skip
    seats = pl.concat(
        [
            both.select(gid="session", charge=pl.lit(False), subject="subject", extra_unit=pl.lit(False)),
            both.select(gid="bill", charge=pl.lit(True), subject="subject", extra_unit=pl.lit(False)),
            matched.excess.select(
                gid="bill", charge=pl.lit(True), subject=pl.col("session") * 3 + SESSION, extra_unit=pl.lit(True)
            ),
        ]
    )
    return pl.concat([_as_places(both), _as_places(surplus)]), seats


def _free(free: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sessions and bills that belong to nobody: pending until final."""
    charge = pl.col("charge")
    final = pl.col("whole") & (pl.col("other_passed") <= pl.col("at")) & ~pl.col("held")
    unrated = ~charge & pl.col("expected_micros").is_null()
    told = pl.when(charge).then(pl.lit("charge_without_usage")).when(unrated).then(pl.lit(UNRATED)).otherwise(pl.lit("unbilled"))
    candidates = [
        pl.when((pl.col(c) > pl.col("at")) & wanted).then(c).otherwise(NEVER)
        for c, wanted in (("own_passed", pl.col("in_parts")), ("other_passed", True), ("ripe_at", pl.col("near")))
    ]
    booked = free.with_columns(
        subject=pl.col("gid") * 3 + charge.cast(pl.Int64), extra=pl.lit(False), started_us="start_us",
        kind=pl.when(final).then(told).otherwise(pl.lit(PENDING)),
        expected_micros=pl.col("expected_micros").fill_null(0),
        billed_micros=pl.when(charge).then("all_micros").otherwise(0),
        unrated_records=pl.when(unrated).then(pl.col("records")).otherwise(0),
        wake=pl.when(final).then(NEVER).otherwise(pl.min_horizontal(candidates)),
    )  # fmt: skip
    return _as_places(booked), booked.select("gid", "charge", "subject", extra_unit=pl.lit(False))


def _periods(
    rows: pl.DataFrame, units: pl.DataFrame, matched: Matched, cells: pl.DataFrame, frontier: Frontier
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sums per service, subscriber and period, with their members."""
    settled = matched.settled
    side_settled = pl.when("charge").then(pl.col("gid").is_in(settled["bill"].implode())).otherwise(
        pl.col("gid").is_in(settled["session"].implode())
    )  # fmt: skip
    summed = units.filter(pl.col("summed") & ~side_settled)
    if summed.is_empty():
        return pl.DataFrame(schema=_ZONED), pl.DataFrame(schema=MEMBER)
    place = ["component", "at", "policy", "rule", "bucket", *CELL[:4], "period_us", "timezone"]
    sessions = _indexed(summed.filter(~pl.col("charge")), "start_us", frontier)
    bills = summed.filter("charge").select("gid", *place)
    charges = rows.filter("charge").drop(place[:5] + CELL[:4]).join(bills, on="gid")
    due = pl.when(pl.col("due_position") <= pl.col("at")).then("due_us")
    charges = _indexed(charges.with_columns(sum_us=pl.coalesce("time_us", due)), "sum_us", frontier)
    sums = pl.concat(
        [
            sessions.select(
                *place, "index", "start_us", charge=pl.lit(False), quantity=pl.col("quantity_micros"),
                expected="expected_micros", billed=pl.lit(0, pl.Int128), count="records",
            ),
            charges.select(
                *place, "index", start_us="time_us", charge=pl.lit(True), quantity=pl.col("quantity_micros").cast(pl.Int128),
                expected=pl.lit(0, pl.Int128), billed=pl.col("amount_micros").cast(pl.Int128), count=pl.lit(1, pl.UInt32),
            ),
        ]
    )  # fmt: skip
    charge, unrated = pl.col("charge"), pl.col("expected").is_null()
    unquantified = (charge & pl.col("quantity").is_null()).any()
    totals = sums.group_by(*place, "index", maintain_order=True).agg(
        usage_quantity=pl.col("quantity").filter(~charge).sum(),
        charge_quantity=pl.when(~unquantified).then(pl.col("quantity").filter(charge).sum()),
        expected_micros=pl.col("expected").sum(), billed_micros=pl.col("billed").sum(),
        used=(~charge).any(), charged=charge.any(), unrated_records=pl.col("count").filter(unrated).sum(),
        started_us=pl.col("start_us").min(),
    )  # fmt: skip
    booked = _judged(totals.join(cells, on=CELL, nulls_equal=True, how="left"), frontier)
    members = pl.concat(
        [
            rows.filter(~pl.col("charge")).select("component", "rid", "charge", "gid")
            .join(sessions.select("gid", *CELL), on="gid"),
            charges.select("component", "rid", "charge", "gid", *CELL),
        ]
    ).join(cells, on=CELL, nulls_equal=True, how="left")  # fmt: skip
    subject = pl.col("cell") * 3 + PERIOD
    return _as_places(booked), members.select("component", "rid", "charge", subject=subject, extra=pl.lit(False))


def _indexed(frame: pl.DataFrame, time: str, frontier: Frontier) -> pl.DataFrame:
    """Adds the `index` of the period that `time` lies in, in the time zone of its policy."""
    return frame.with_columns(index=_by_zone(frontier, lambda zone: period_index(pl.col(time), pl.col("period_us"), zone)))


def _judged(totals: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Gives each period its kind, once both streams have passed its last instant by grace."""
    ruled = totals.join(frontier.policies.frame.drop("period_us", "timezone"), on=["policy", "rule"], how="left")
    end_us = _by_zone(frontier, lambda zone: period_last_us(pl.col("index"), pl.col("period_us"), zone))
    ruled = ruled.with_columns(end_us=end_us.fill_null(UNTOLD_US))
    end, grace, closed = (ruled[c].to_numpy() for c in ("end_us", "grace_us", "closed_wait_us"))
    policy, side = ruled["policy"].to_numpy(), np.zeros(len(end), dtype=np.bool_)
    passed = np.maximum(*(frontier.passed_at(s, end, grace, closed, policy) for s in (side, ~side)))
    ruled = ruled.with_columns(passed=pl.Series(passed)).with_columns(final=pl.col("passed") <= pl.col("at"))
    kind = (
        pl.when(~pl.col("final")).then(pl.lit(PENDING))
        .when(pl.col("unrated_records") > 0).then(pl.lit(UNRATED))
        .when(~pl.col("charged")).then(pl.lit("unbilled"))
        .when(~pl.col("used")).then(pl.lit("charge_without_usage"))
        .otherwise(mismatch())
    )  # fmt: skip
    return ruled.with_columns(
        subject=pl.col("cell") * 3 + PERIOD, extra=pl.lit(False), kind=kind,
        wake=pl.when("final").then(NEVER).otherwise("passed"),
        peer=pl.lit(None, pl.String), node=pl.lit(None, pl.String), start_us="started_us",
        day=period_first_day(pl.col("index"), pl.col("period_us")),
    )  # fmt: skip


def _by_zone(frontier: Frontier, of: Callable[[str], pl.Expr]) -> pl.Expr:
    """What `of` makes of each row's own time zone; one branch for each zone ever in force."""
    first, *others = sorted({p.timezone for p in frontier.policies.all})
    chosen = of(first)
    for zone in others:
        chosen = pl.when(pl.col("timezone") == zone).then(of(zone)).otherwise(chosen)
    return chosen


_ZONED = PLACE | {"timezone": pl.String()}


def _as_places(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of a place, with its time zone; `day` is still missing where it follows from the start."""
    dayed = frame if "day" in frame.columns else frame.with_columns(day=pl.lit(None, pl.Date))
    return dayed.select(pl.col(n).cast(t) for n, t in _ZONED.items())


def _with_days(places: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """The day of a place that is no period: that of its start, in the time zone of its policy."""
    start_day = _by_zone(frontier, lambda zone: local_day(pl.col("started_us"), zone))
    return places.with_columns(day=pl.coalesce("day", start_day), service=pl.col("service").fill_null("")).select(*PLACE)
