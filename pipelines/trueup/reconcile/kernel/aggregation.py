"""Aggregate match: sums per service, subscriber and period, where single records are not matched.

The sums of a service that *covers* others include their usage, because one line of a bill charges several services. Their
quantities have no common unit, so such sums are judged only by amount. Lines of zero do not count as lines: usage with no other
line is unbilled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.localtime import period_first_day, period_index, period_last_us
from trueup.policies.policy import UNKNOWN_TIME_US
from trueup.reconcile.blocking.components import CELL
from trueup.reconcile.domain.bookings import (
    MAIN,
    MEMBER,
    PENDING,
    PERIOD,
    SURPLUS,
    UNRATED,
    ZONED,
    as_bookings,
    by_period,
)
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.corrections import corrected_kind, total_micros
from trueup.reconcile.kernel.lines import REPEATED, charged_micros, excess_lines, judged_kind, repeated_lines, split_excess
from trueup.reconcile.kernel.matching import Matched
from trueup.reconcile.pricing.price_table import RULE_COLUMNS, PriceTable


@dataclass(frozen=True)
class PeriodSums:
    """The sums of periods as of spans of positions.

    `totals` have one row for each period and span, with its rules and the position `passed_at` at which both streams have passed
    it. `members` are the records of the periods (`component`, `at`, `record_no`, `charge`, `cell`). `repeated` (`REPEATED`) has,
    for each set of equal lines of a period, the line that may be an excess.
    """

    totals: pl.DataFrame
    members: pl.DataFrame
    repeated: pl.DataFrame


NO_SUMS = PeriodSums(
    pl.DataFrame(schema={"component": pl.Int64, "at": pl.Int64, "passed_at": pl.Int64}),
    pl.DataFrame(schema={"component": pl.Int64, "at": pl.Int64, "record_no": pl.Int64, "charge": pl.Boolean, "cell": pl.Int64}),
    pl.DataFrame(schema=REPEATED),
)
"""Sums of no periods."""


def sum_periods(rows: pl.DataFrame, matched: Matched, cells: pl.DataFrame, frontier: Frontier, prices: PriceTable) -> PeriodSums:
    """Return the sums per service, subscriber and period of units that are not settled."""
    aggregated = pl.col("by_aggregate") & (pl.col("settled_at") > pl.col("at"))
    if not matched.sessions["by_aggregate"].any() and not matched.charge_groups["by_aggregate"].any():
        return NO_SUMS
    summed, charge_groups = (_assign_line_services(units.filter(aggregated)) for units in (matched.sessions, matched.charge_groups))
    cell_columns = ["component", "at", "policy", "rule", "bucket", *CELL[:4], "sum_period", "timezone"]
    sessions = _with_period_index(summed, "start_us", frontier, prices.terms)
    charge_groups = charge_groups.select("group_no", "judges_lines", "in_own_zone", *cell_columns)
    charges = rows.filter("charge").with_columns(own_service="service", own_subscriber="subscriber")
    charges = charges.drop("component", *cell_columns[2:5], *CELL[:4]).join(charge_groups, on=["at", "group_no"])
    assigned = pl.when(pl.col("assigned_at") <= pl.col("at")).then("assigned_time_us")
    charges = _with_period_index(
        charges.with_columns(aggregation_time_us=pl.coalesce("time_us", assigned)), "aggregation_time_us", frontier, prices.terms
    )
    charges = charges.with_columns(charged_value=_price_charged_quantity(charges, frontier, prices))
    sums = pl.concat(
        [
            sessions.select(
                *cell_columns, "index", "start_us", charge=pl.lit(False), quantity=pl.col("quantity_micros"),
                expected="expected_micros", billed=pl.lit(0, pl.Int128), count="records", charged_value=pl.lit(0, pl.Int128),
                counts=pl.lit(False), reason="reason", billing_status="billing_status",
            ),
            charges.select(
                *cell_columns, "index", start_us="time_us", charge=pl.lit(True), quantity=pl.col("quantity_micros").cast(pl.Int128),
                expected=pl.lit(0, pl.Int128), billed=pl.col("amount_micros").cast(pl.Int128), count=pl.lit(1, pl.UInt32),
                charged_value="charged_value", counts=~pl.col("judges_lines") | (pl.col("amount_micros") != 0),
                reason=pl.lit(None, pl.String), billing_status=pl.lit(None, pl.String),
            ),
        ]
    )  # fmt: skip
    charge, unrated = pl.col("charge"), pl.col("expected").is_null()
    unquantified = (charge & pl.col("quantity").is_null()).any()
    totals = sums.group_by(*cell_columns, "index", maintain_order=True).agg(
        usage_quantity=pl.col("quantity").filter(~charge).sum(),
        charge_quantity=pl.when(~unquantified).then(pl.col("quantity").filter(charge).sum()),
        expected_micros=pl.col("expected").sum(), billed_micros=pl.col("billed").sum(),
        used=(~charge).any(), charged=pl.col("counts").any(), unrated_records=pl.col("count").filter(unrated).sum(),
        started_us=pl.col("start_us").min(), reason=pl.col("reason").min(), billing_status=pl.col("billing_status").max(),
        charged_value=pl.when(pl.col("charged_value").null_count() == 0).then(pl.col("charged_value").sum()),
    )  # fmt: skip
    members = pl.concat(
        [
            rows.filter(~pl.col("charge")).select("component", "at", "record_no", "charge", "group_no")
            .join(sessions.select("at", "group_no", *CELL), on=["at", "group_no"]),
            charges.select("component", "at", "record_no", "charge", "group_no", *CELL),
        ]
    ).join(cells, on=CELL, nulls_equal=True, how="left")  # fmt: skip
    timed = with_passed_position(totals.join(cells, on=CELL, nulls_equal=True, how="left"), frontier)
    return PeriodSums(timed, members.select(NO_SUMS.members.columns), repeated_lines(charges, cells))


def book_periods(sums: PeriodSums, evaluations: pl.DataFrame, money: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the bookings of sums at evaluations, and their members.

    `money` is the money that correcting charges add to the bookings of owners (`corrections.MONEY`).
    """
    if sums.totals.is_empty():
        return pl.DataFrame(schema=ZONED), pl.DataFrame(schema=MEMBER)
    totals, members = (
        frame.join(evaluations, on=["component", "at"]).with_columns(at="position") for frame in (sums.totals, sums.members)
    )
    owner_no = pl.col("cell") * 3 + PERIOD
    totals = totals.with_columns(owner_no=owner_no).join(money, on=["at", "owner_no"], how="left", maintain_order="left")
    judged = with_kind(totals)
    excess = excess_lines(judged, sums.repeated.join(evaluations, on=["component", "at"]).with_columns(at="position"))
    of_lines = excess.select("component", "at", "record_no", excess_part=pl.lit(SURPLUS, pl.Int8))
    part = pl.coalesce("excess_part", pl.lit(MAIN, pl.Int8))
    placed = members.join(of_lines, on=["component", "at", "record_no"], how="left").select(
        "component", "at", "record_no", "charge", owner_no=owner_no, part=part
    )
    return as_bookings(split_excess(judged, excess)), placed


def _assign_line_services(units: pl.DataFrame) -> pl.DataFrame:
    """Return units with the service and rule of their sums; for a covered service those of the service that covers it."""
    return units.with_columns(service=pl.coalesce("sum_service", "service"), rule="sum_rule")


def _price_charged_quantity(charges: pl.DataFrame, frontier: Frontier, prices: PriceTable) -> pl.Series:
    """Return the price of the quantity of each charge, see `PriceTable.price_charges`."""
    rules = frontier.policies.frame.select("policy", "rule", *RULE_COLUMNS)
    return prices.price_charges(charges.join(rules, on=["policy", "rule"], how="left", maintain_order="left"))


def _with_period_index(frame: pl.DataFrame, time: str, frontier: Frontier, terms: Terms) -> pl.DataFrame:
    """Add the `index` of the period that contains `time`, and its `timezone`: that of the policy, or of the subscriber."""
    if not frontier.policies.has_own_calendars:
        dated = frame.with_columns(cycle_day=pl.lit(None, pl.Int64))
    else:
        dated = frame.hstack(terms.calendars_at(frame.select("subscriber", "at", time_us=time)))
        own_zone = pl.when("in_own_zone").then("own_zone")
        dated = dated.with_columns(timezone=pl.coalesce(own_zone, "timezone")).drop("own_zone")
    index = by_period(dated, lambda period, zone: period_index(pl.col(time), period, zone, pl.col("cycle_day")))
    return dated.with_columns(index=index)


def with_passed_position(totals: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add the rules of each period, and the position `passed_at` at which both streams have passed its last instant by grace."""
    with_rules = totals.join(frontier.policies.frame.drop("sum_period", "timezone"), on=["policy", "rule"], how="left")
    # Seconds, messages and octets have no common sum.
    quantity = pl.when(~pl.col("is_covering")).then("charge_quantity")
    with_rules = with_rules.with_columns(charge_quantity=quantity)
    end = by_period(with_rules, lambda period, zone: period_last_us(pl.col("index"), period, zone))
    with_rules = with_rules.with_columns(end_us=end.fill_null(UNKNOWN_TIME_US))
    end_us, grace_us, closed_wait_us = (with_rules[c].to_numpy() for c in ("end_us", "grace_us", "closed_wait_us"))
    policy, usage_side = with_rules["policy"].to_numpy(), np.zeros(len(end_us), dtype=np.bool_)
    passed_at = np.maximum(*(frontier.passed_at(s, end_us, grace_us, closed_wait_us, policy) for s in (usage_side, ~usage_side)))
    return with_rules.with_columns(passed_at=pl.Series(passed_at))


def with_kind(totals: pl.DataFrame) -> pl.DataFrame:
    """Add the kind of each period: pending until both streams have passed it."""
    charged = totals.with_columns(billed_micros=pl.col("billed_micros") + total_micros(), charged_micros=charged_micros())
    kind = (
        pl.when(pl.col("passed_at") > pl.col("at")).then(pl.lit(PENDING))
        .when(pl.col("unrated_records") > 0).then(pl.lit(UNRATED))
        .when(~pl.col("charged")).then(corrected_kind(pl.coalesce("billing_status", pl.lit("unbilled"))))
        .when(~pl.col("used")).then(pl.lit("charge_without_usage"))
        .otherwise(judged_kind())
    )  # fmt: skip
    return charged.with_columns(
        part=pl.lit(MAIN), kind=kind,
        reason=pl.when(kind == UNRATED).then("reason"),
        peer=pl.lit(None, pl.String), node=pl.lit(None, pl.String), start_us="started_us",
        day=by_period(charged, lambda period, _: period_first_day(pl.col("index"), period)),
    )  # fmt: skip
