"""The prices of contracts: a rental with tax, a router by thirtieths of a month, two fees, and two discounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

PLANS = ("HOME-S", "HOME-M", "HOME-L")
SMALL, MEDIUM, LARGE = range(len(PLANS))
SERVICE = "rental"
LINE, ROUTER, ACTIVATION, TERMINATION = "line", "router", "activation_fee", "termination_fee"
LINE_MICROS = (15_000_000, 26_000_000, 38_000_000)
FORMER_LINE_MICROS = (15_000_000, 24_000_000, 38_000_000)
"""The prices before `PriceDates.price_change`; they differ for one plan only."""
TAX_PERCENT = 19
ROUTER_MICROS, ROUTER_OFF_MICROS = 4_500_000, 900_000
ROUTER_PLANS = (MEDIUM, LARGE)
ACTIVATION_MICROS, TERMINATION_MICROS = 25_000_000, 60_000_000
COMMITMENT_MONTHS = 24
WELCOME_PERCENT, WELCOME_MONTHS, WELCOME_PLAN = 50, 3, LARGE
_SINCE = date(2015, 1, 1)


@dataclass(frozen=True)
class PriceDates:
    """The days on which prices and offers change, each at its first midnight."""

    price_change: date
    welcome_from: date
    router_off_until: date

    @classmethod
    def of(cls, first: date, errs_until: date) -> PriceDates:
        """Return dates such that some billed periods lie before them and some after."""
        third = (errs_until - first) // 3
        return cls(first + third, first - timedelta(days=120), first + 2 * third)


def price_rows(dates: PriceDates, currency: str) -> pl.DataFrame:
    """Return the items of the tariff book."""
    rental = {"item": "recurring", "service": SERVICE, "period": "cycle", "due": "advance", "proration": "day", "tax": "0.19",
              "rounding": "half_up", "decimals": 2}  # fmt: skip
    router = {"item": "recurring", "service": SERVICE, "period": "month", "due": "arrears", "proration": "30"}
    fee = {"item": "one_off", "service": SERVICE, "valid_from": _SINCE}
    rows: list[dict[str, object]] = []
    for plan, name in enumerate(PLANS):
        rows.append(rental | {"name": LINE, "plan": name, "price": _format_money(FORMER_LINE_MICROS[plan]), "valid_from": _SINCE})
        if LINE_MICROS[plan] != FORMER_LINE_MICROS[plan]:
            rows.append(
                rental | {"name": LINE, "plan": name, "price": _format_money(LINE_MICROS[plan]), "valid_from": dates.price_change}
            )
        if plan in ROUTER_PLANS:
            rows.append(router | {"name": ROUTER, "plan": name, "price": _format_money(ROUTER_MICROS), "valid_from": _SINCE})
        rows.append(fee | {"name": ACTIVATION, "plan": name, "event": "activation", "price": _format_money(ACTIVATION_MICROS)})
        ends = {"event": "termination", "months": COMMITMENT_MONTHS, "price": _format_money(TERMINATION_MICROS)}
        rows.append(fee | {"name": TERMINATION, "plan": name} | ends)
    rows.append({
        "item": "discount", "name": "welcome", "plan": PLANS[WELCOME_PLAN], "applies_to": LINE, "discount": "0.5",
        "months": WELCOME_MONTHS, "valid_from": dates.welcome_from,
    })  # fmt: skip
    rows.append({
        "item": "discount", "name": "winter", "plan": None, "applies_to": ROUTER, "price": _format_money(ROUTER_OFF_MICROS),
        "valid_from": _SINCE, "valid_to": dates.router_off_until,
    })  # fmt: skip
    is_priced = pl.col("price").is_not_null()
    schema = dict.fromkeys(("item", "name", "plan", "service", "price", "period", "due", "proration", "tax", "rounding", "event",
                            "applies_to", "discount"), pl.String)  # fmt: skip
    whole = {"valid_from": pl.Date, "valid_to": pl.Date, "decimals": pl.Int64, "months": pl.Int64}
    frame = pl.DataFrame(rows, schema={**schema, **whole}, orient="row")
    return frame.with_columns(
        pl.col("valid_from", "valid_to").cast(pl.Datetime("us")), currency=pl.when(is_priced).then(pl.lit(currency))
    )  # fmt: skip


def _format_money(micros: int) -> str:
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"
