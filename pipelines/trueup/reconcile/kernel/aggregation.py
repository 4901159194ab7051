"""Aggregate match: sums per service, subscriber and period, where single records are not matched."""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.localtime import period_first_day, period_index, period_last_us
from trueup.policies.policy import NEVER_POSITION, UNKNOWN_TIME_US
from trueup.rating.flat import flat_price
from trueup.reconcile.blocking.components import CELL
from trueup.reconcile.domain.bookings import MAIN, MEMBER, PENDING, PERIOD, UNRATED, ZONED, as_bookings, by_zone
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms, shared_terms
from trueup.reconcile.kernel.classification import classify_flat
from trueup.reconcile.kernel.matching import Matched
from trueup.reconcile.pricing.session_price import price_sessions
from trueup.reconcile.sessions.grouping import RATED_BY


def book_periods(
    rows: pl.DataFrame, units: pl.DataFrame, matched: Matched, cells: pl.DataFrame, frontier: Frontier, terms: Terms
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the bookings of the sums per service, subscriber and period, and their members."""
    settled_pairs = matched.settled
    is_settled = pl.when("charge").then(pl.col("group_no").is_in(settled_pairs["charge_group"].implode())).otherwise(
        pl.col("group_no").is_in(settled_pairs["session"].implode())
    )  # fmt: skip
    aggregated = units.filter(pl.col("by_aggregate") & ~is_settled)
    if aggregated.is_empty():
        return pl.DataFrame(schema=ZONED), pl.DataFrame(schema=MEMBER)
    cell_columns = ["component", "at", "policy", "rule", "bucket", *CELL[:4], "period_us", "timezone"]
    sessions = _with_period_index(aggregated.filter(~pl.col("charge")), "start_us", frontier)
    charge_groups = aggregated.filter("charge").select("group_no", *cell_columns)
    charges = rows.filter("charge").drop(cell_columns[:5] + CELL[:4]).join(charge_groups, on="group_no")
    assigned = pl.when(pl.col("assigned_at") <= pl.col("at")).then("assigned_time_us")
    charges = _with_period_index(
        charges.with_columns(aggregation_time_us=pl.coalesce("time_us", assigned)), "aggregation_time_us", frontier
    )
    charges = charges.with_columns(charged_value=_charged_value(charges, frontier, terms))
    sums = pl.concat(
        [
            sessions.select(
                *cell_columns, "index", "start_us", charge=pl.lit(False), quantity=pl.col("quantity_micros"),
                expected="expected_micros", billed=pl.lit(0, pl.Int128), count="records", charged_value=pl.lit(0, pl.Int128),
                reason="reason", billing_status="billing_status",
            ),
            charges.select(
                *cell_columns, "index", start_us="time_us", charge=pl.lit(True), quantity=pl.col("quantity_micros").cast(pl.Int128),
                expected=pl.lit(0, pl.Int128), billed=pl.col("amount_micros").cast(pl.Int128), count=pl.lit(1, pl.UInt32),
                charged_value="charged_value", reason=pl.lit(None, pl.String), billing_status=pl.lit(None, pl.String),
            ),
        ]
    )  # fmt: skip
    charge, unrated = pl.col("charge"), pl.col("expected").is_null()
    unquantified = (charge & pl.col("quantity").is_null()).any()
    totals = sums.group_by(*cell_columns, "index", maintain_order=True).agg(
        usage_quantity=pl.col("quantity").filter(~charge).sum(),
        charge_quantity=pl.when(~unquantified).then(pl.col("quantity").filter(charge).sum()),
        expected_micros=pl.col("expected").sum(), billed_micros=pl.col("billed").sum(),
        used=(~charge).any(), charged=charge.any(), unrated_records=pl.col("count").filter(unrated).sum(),
        started_us=pl.col("start_us").min(), reason=pl.col("reason").min(), billing_status=pl.col("billing_status").max(),
        charged_value=pl.when(pl.col("charged_value").null_count() == 0).then(pl.col("charged_value").sum()),
    )  # fmt: skip
    bookings = _with_kind(totals.join(cells, on=CELL, nulls_equal=True, how="left"), frontier)
    members = pl.concat(
        [
            rows.filter(~pl.col("charge")).select("component", "at", "record_no", "charge", "group_no")
            .join(sessions.select("group_no", *CELL), on="group_no"),
            charges.select("component", "at", "record_no", "charge", "group_no", *CELL),
        ]
    ).join(cells, on=CELL, nulls_equal=True, how="left")  # fmt: skip
    owner_no = pl.col("cell") * 3 + PERIOD
    return as_bookings(bookings), members.select(
        "component", "at", "record_no", "charge", owner_no=owner_no, part=pl.lit(MAIN, pl.Int8)
    )


def _charged_value(charges: pl.DataFrame, frontier: Frontier, terms: Terms) -> pl.Series:
    """Return the price of the quantity of each charge where a tariff prices its service by itself; NULL otherwise.

    The price of a charge in an allowance pool depends on the charges before it. Sums of such services are judged by usage alone.
    """
    rules = frontier.policies.frame.select("policy", "rule", "price_micros", "price_per", "price_currency")
    requests = charges.select(
        "policy", "rule", "at", "scope", "subscriber", "service", "peer", *RATED_BY, "currency", "quantity_micros",
        start_us="aggregation_time_us", order="event_id",
    ).join(rules, on=["policy", "rule"], how="left", maintain_order="left")  # fmt: skip
    if requests["price_micros"].null_count() == 0:
        return pl.repeat(None, charges.height, dtype=pl.Int128, eager=True)
    states = terms.states_at(requests.select("subscriber", "at", time_us="start_us"))
    prices = price_sessions(requests.hstack(states), terms)["expected_micros"]
    is_shared = requests["service"].is_in(shared_terms(terms)["service"].implode()).fill_null(False)
    return prices.set(is_shared, None)


def _with_period_index(frame: pl.DataFrame, time: str, frontier: Frontier) -> pl.DataFrame:
    """Add the `index` of the period that `time` lies in, in the time zone of its policy."""
    return frame.with_columns(index=by_zone(frontier, lambda zone: period_index(pl.col(time), pl.col("period_us"), zone)))


def _with_kind(totals: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add the kind of each period: pending until both streams have passed its last instant by grace."""
    with_rules = totals.join(frontier.policies.frame.drop("period_us", "timezone"), on=["policy", "rule"], how="left")
    end = by_zone(frontier, lambda zone: period_last_us(pl.col("index"), pl.col("period_us"), zone))
    with_rules = with_rules.with_columns(end_us=end.fill_null(UNKNOWN_TIME_US))
    end_us, grace_us, closed_wait_us = (with_rules[c].to_numpy() for c in ("end_us", "grace_us", "closed_wait_us"))
    policy, usage_side = with_rules["policy"].to_numpy(), np.zeros(len(end_us), dtype=np.bool_)
    watermark_position = np.maximum(
        *(frontier.passed_at(s, end_us, grace_us, closed_wait_us, policy) for s in (usage_side, ~usage_side))
    )
    with_rules = with_rules.with_columns(passed=pl.Series(watermark_position)).with_columns(final=pl.col("passed") <= pl.col("at"))
    flat = flat_price(pl.col("charge_quantity"), pl.col("price_micros"), pl.col("price_per"))
    with_rules = with_rules.with_columns(
        charged_micros=pl.when(pl.col("charge_quantity").is_not_null()).then(pl.coalesce(flat, "charged_value"))
    )
    kind = (
        pl.when(~pl.col("final")).then(pl.lit(PENDING))
        .when(pl.col("unrated_records") > 0).then(pl.lit(UNRATED))
        .when(~pl.col("charged")).then(pl.coalesce("billing_status", pl.lit("unbilled")))
        .when(~pl.col("used")).then(pl.lit("charge_without_usage"))
        .otherwise(classify_flat())
    )  # fmt: skip
    return with_rules.with_columns(
        owner_no=pl.col("cell") * 3 + PERIOD, part=pl.lit(MAIN), kind=kind,
        reason=pl.when(kind == UNRATED).then("reason"),
        next_check_position=pl.when("final").then(NEVER_POSITION).otherwise("passed"),
        peer=pl.lit(None, pl.String), node=pl.lit(None, pl.String), start_us="started_us",
        day=period_first_day(pl.col("index"), pl.col("period_us")),
    )  # fmt: skip
