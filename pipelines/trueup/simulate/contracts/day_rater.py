"""Rate contracts day by day in whole numbers, independently of the method by which reconciliation derives amounts."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from trueup.simulate.contracts import price_list as prices
from trueup.simulate.contracts.contract_draw import Months
from trueup.simulate.contracts.price_list import PriceDates

DUE: dict[str, pl.DataType] = {
    "contract": pl.Int64(),
    "item": pl.String(),
    "period_from": pl.Datetime("us"),  # local; for a fee the time of its event
    "period_to": pl.Datetime("us"),  # NULL for a fee
    "due_at": pl.Datetime("us"),
    "expected_micros": pl.Int64(),
    "charged_days": pl.Int64(),  # 0: no charge is expected; NULL for a fee
    "whole_micros": pl.Int64(),  # price of the whole period; for a fee its price
    "former_micros": pl.Int64(),  # at the former price; next: at the former plan, without discount, with a discount that never ends
    "former_plan_micros": pl.Int64(),
    "full_micros": pl.Int64(),
    "endless_micros": pl.Int64(),
}
"""One item due for one period, or at one event."""
_CENT = 10_000
_CONTRACTS_AT_ONCE = 4_000
"""How many contracts are held in memory at once, day by day."""
_DAYS_AROUND = timedelta(days=64)


def rate_contracts(contracts: pl.DataFrame, months: Months, dates: PriceDates) -> pl.DataFrame:
    """Return the items due (`DUE`) of all contracts (`CONTRACT`) in the months, and periods without a charged day."""
    parts = [
        _rate_days(contracts[begin : begin + _CONTRACTS_AT_ONCE], months, dates)
        for begin in range(0, contracts.height, _CONTRACTS_AT_ONCE)
    ]
    rows = pl.concat(parts)
    begin, end = pl.lit(months.first).cast(pl.Datetime("us")), pl.lit(months.last).cast(pl.Datetime("us"))
    ends = pl.max_horizontal("due_at", pl.col("period_to") - pl.duration(microseconds=1))
    return rows.filter((ends >= begin) & (pl.col("due_at") <= end)).sort("contract", "item", "period_from")


def _rate_days(contracts: pl.DataFrame, months: Months, dates: PriceDates) -> pl.DataFrame:
    days = pl.date_range(months.first - _DAYS_AROUND, months.last + _DAYS_AROUND, eager=True).alias("day").to_frame()
    rows = contracts.join(days, how="cross")
    day = pl.col("day")
    last = (pl.col("ceased_at") - pl.duration(microseconds=1)).dt.date()
    is_active = (day >= pl.col("active_at").dt.date()) & (last.is_null() | (day <= last))
    suspended = ((day >= pl.col("suspended_at").dt.date()) & (day < pl.col("resumed_at").dt.date())).fill_null(False)
    is_new_plan = (day >= pl.col("plan_at").dt.date()).fill_null(False)
    is_new_cycle = (day >= pl.col("cycle_at").dt.date()).fill_null(False)
    known = rows.select(
        "contract", "day", "active_at", "ceased_at", "cycle_at", is_charged=is_active & ~suspended, is_new_cycle=is_new_cycle,
        former_plan="plan", plan=pl.when(is_new_plan).then("new_plan").otherwise("plan"),
        cycle_day=pl.when(is_new_cycle).then("new_cycle_day").otherwise("cycle_day"),
    )  # fmt: skip
    return pl.concat([_rate_rentals(known, dates), _rate_routers(known, dates), _list_fees(contracts)])


def _find_cycle_begin(month: pl.Expr, cycle_day: pl.Expr) -> pl.Expr:
    """Return the day on which a cycle begins in a month, given by its first day; a short month begins it on its last day."""
    last = month.dt.month_end().dt.day().cast(pl.Int64)
    return month + pl.duration(days=pl.min_horizontal(cycle_day, last) - 1)


def _rate_rentals(known: pl.DataFrame, dates: PriceDates) -> pl.DataFrame:
    """Return the rentals: each active day costs its part of the nominal cycle; only the sum with tax is rounded to cents."""
    month, cycle = pl.col("day").dt.month_start(), pl.col("cycle_day")
    here = _find_cycle_begin(month, cycle)
    follows = pl.col("day") >= here
    begins = pl.when(follows).then(here).otherwise(_find_cycle_begin(month.dt.offset_by("-1mo"), cycle))
    ends = pl.when(follows).then(_find_cycle_begin(month.dt.offset_by("1mo"), cycle)).otherwise(here)
    moved = pl.col("cycle_at").dt.date()
    # A change of the cycle day ends the current period.
    rows = known.with_columns(nominal=begins, nominal_end=ends).with_columns(
        begins=pl.when("is_new_cycle").then(pl.max_horizontal("nominal", moved)).otherwise("nominal"),
        ends=pl.when(~pl.col("is_new_cycle")).then(pl.min_horizontal("nominal_end", moved)).otherwise("nominal_end"),
        price=_choose_line_price(pl.col("plan"), dates), former=_price_of(pl.col("plan"), prices.FORMER_LINE_MICROS),
        of_former_plan=_choose_line_price(pl.col("former_plan"), dates), has_welcome=_has_welcome(dates),
    )  # fmt: skip
    lasts = pl.col("day") < pl.col("active_at").dt.date().dt.offset_by(f"{prices.WELCOME_MONTHS}mo")
    percent = 100 - pl.when(pl.col("has_welcome") & lasts).then(prices.WELCOME_PERCENT).otherwise(0)
    endless = 100 - pl.when("has_welcome").then(prices.WELCOME_PERCENT).otherwise(0)
    priced = rows.with_columns(
        length=(pl.col("nominal_end") - pl.col("nominal")).dt.total_days(), net=pl.col("price") * percent,
        net_former=pl.col("former") * percent, net_former_plan=pl.col("of_former_plan") * percent, net_full=pl.col("price") * 100,
        net_endless=pl.col("price") * endless,
    )  # fmt: skip
    charged = pl.col("is_charged")
    nets = ("net", "net_former", "net_former_plan", "net_full", "net_endless")
    periods = priced.group_by("contract", "begins", "ends", "length", "is_new_cycle").agg(
        *(pl.col(n).filter(charged).sum() for n in nets), charged_days=charged.sum().cast(pl.Int64),
        first=pl.col("day").filter(charged).min(), net_first=pl.col("net").sort_by("day").filter(charged.sort_by("day")).first(),
        net_any=pl.col("net_full").sort_by("day").first(),
    )  # fmt: skip
    whole = pl.coalesce("net_first", "net_any") * pl.col("length")
    due = pl.max_horizontal("begins", "first")
    return periods.select(
        "contract", "charged_days", item=pl.lit(prices.LINE), period_from="begins", period_to="ends",
        due_at=pl.coalesce(due, "begins"), expected_micros=_round_to_cents(pl.col("net")), whole_micros=_round_to_cents(whole),
        former_micros=_round_to_cents(pl.col("net_former")), former_plan_micros=_round_to_cents(pl.col("net_former_plan")),
        full_micros=_round_to_cents(pl.col("net_full")), endless_micros=_round_to_cents(pl.col("net_endless")),
    ).select(pl.col(n).cast(t) for n, t in DUE.items())  # fmt: skip


def _price_of(plan: pl.Expr, micros: tuple[int, ...]) -> pl.Expr:
    return plan.replace_strict(list(range(len(micros))), list(micros), return_dtype=pl.Int64)


def _choose_line_price(plan: pl.Expr, dates: PriceDates) -> pl.Expr:
    now, former = (_price_of(plan, micros) for micros in (prices.LINE_MICROS, prices.FORMER_LINE_MICROS))
    return pl.when(pl.col("day") >= _to_day(dates.price_change)).then(now).otherwise(former)


def _has_welcome(dates: PriceDates) -> pl.Expr:
    return (pl.col("plan") == prices.WELCOME_PLAN) & (pl.col("active_at").dt.date() >= _to_day(dates.welcome_from))


def _to_day(day: date) -> pl.Expr:
    return pl.lit(day)


def _round_to_cents(net: pl.Expr) -> pl.Expr:
    """Return `net`, a sum over days of price × per cent, as an amount per cycle with tax, rounded half up to cents."""
    over = pl.col("length") * 100 * 100 * _CENT
    return (2 * net * (100 + prices.TAX_PERCENT) + over) // (2 * over) * _CENT


def _rate_routers(known: pl.DataFrame, dates: PriceDates) -> pl.DataFrame:
    """Return the routers: each day costs a thirtieth. The 31st is free; the last day of a shorter month completes the thirty."""
    rows = known.filter(pl.col("plan").is_in(prices.ROUTER_PLANS)).with_columns(
        begins=pl.col("day").dt.month_start(), number=pl.col("day").dt.day().cast(pl.Int64),
        last=pl.col("day").dt.month_end().dt.day().cast(pl.Int64),
    )  # fmt: skip
    is_last = pl.col("number") == pl.col("last")
    share = pl.when(is_last).then(pl.max_horizontal(30 - pl.col("number") + 1, 0)).when(pl.col("number") <= 30).then(1).otherwise(0)
    off = pl.when(pl.col("day") < _to_day(dates.router_off_until)).then(prices.ROUTER_OFF_MICROS).otherwise(0)
    charged = pl.col("is_charged")
    priced = rows.with_columns(
        net=(prices.ROUTER_MICROS - off) // 30 * share, full=pl.lit(prices.ROUTER_MICROS, pl.Int64) // 30 * share
    )  # fmt: skip
    periods = priced.group_by("contract", "begins").agg(
        pl.col("net", "full").filter(charged).sum(), whole=pl.col("net").sum(), charged_days=charged.sum().cast(pl.Int64)
    ).filter(pl.col("charged_days") > 0)  # fmt: skip
    ends = pl.col("begins").dt.offset_by("1mo")
    same = {f"{n}_micros": pl.col("net") for n in ("expected", "former", "former_plan", "endless")}
    return periods.select(
        "contract", "charged_days", item=pl.lit(prices.ROUTER), period_from="begins", period_to=ends, due_at=ends,
        whole_micros="whole", full_micros="full", **same,
    ).select(pl.col(n).cast(t) for n, t in DUE.items())  # fmt: skip


def _list_fees(contracts: pl.DataFrame) -> pl.DataFrame:
    """Return a fee for each activation, and for each termination on a day of the commitment."""
    committed = pl.col("ceased_at").dt.date() < pl.col("active_at").dt.date().dt.offset_by(f"{prices.COMMITMENT_MONTHS}mo")
    events = [
        contracts.select("contract", item=pl.lit(prices.ACTIVATION), event="active_at", micros=prices.ACTIVATION_MICROS),
        contracts.filter(committed).select(
            "contract", item=pl.lit(prices.TERMINATION), event="ceased_at", micros=prices.TERMINATION_MICROS
        ),
    ]
    same = {n: pl.col("micros") for n in DUE if n.endswith("_micros")}
    none = {"period_to": pl.lit(None), "charged_days": pl.lit(None)}
    return pl.concat(events).select(
        "contract", "item", period_from="event", due_at="event", **same, **none
    ).select(pl.col(n).cast(t) for n, t in DUE.items())  # fmt: skip
