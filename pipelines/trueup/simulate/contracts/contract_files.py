"""Write the files of contracts: states, prices and bills, and the sources that read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from trueup.simulate.contracts.billing_mistakes import CHARGE, GRACE, Bills, bill_contracts
from trueup.simulate.contracts.contract_draw import ZONE, Months, contract_states, draw_contracts
from trueup.simulate.contracts.day_rater import rate_contracts
from trueup.simulate.contracts.price_list import ROUTER, SERVICE, PriceDates, price_rows
from trueup.simulate.files.write import amount_text, write_rows
from trueup.simulate.market.services import AMOUNT_TOLERANCE_MICROS, CURRENCY

MARKED = "+9994099999999"
"""A test number without a contract; its charge lines advance the frontier."""


@dataclass(frozen=True)
class Contracts:
    """Contracts (`CONTRACT`), the items due under them (`DUE`), and their bills with the truth about those."""

    contracts: pl.DataFrame
    due: pl.DataFrame
    bills: Bills


def draw_billed_contracts(rng: np.random.Generator, count: int, months: Months) -> Contracts:
    """Return `count` contracts with their bills."""
    contracts = draw_contracts(rng, count, months)
    due = rate_contracts(contracts, months, PriceDates.of(months.first, months.errs_until))
    return Contracts(contracts, due, bill_contracts(rng, contracts, due, months))


def write_contracts(drawn: Contracts, months: Months, directory: Path, file_format: str, numbers: pl.DataFrame | None) -> None:
    """Write contracts, their prices and their bills; `numbers`, if there are invoices, maps each `line_id` to its invoice."""
    landing = directory / "landing" / "contracts"
    write_rows(contract_states(drawn.contracts), landing / f"states.{file_format}", file_format)
    prices = price_rows(PriceDates.of(months.first, months.errs_until), CURRENCY)
    write_rows(prices, landing / f"prices.{file_format}", file_format)
    delivered = pl.concat(
        [_build_test_line(months.first, 0), drawn.bills.charges, _build_test_line(months.last + timedelta(days=2), 1)]
    )
    if numbers is not None:
        delivered = delivered.join(numbers, on="line_id", how="left", maintain_order="left")
    by_month = delivered.with_columns(month=pl.col("billed_at").dt.strftime("%Y%m"), amount=amount_text("amount_micros"))
    for (month,), lines in by_month.group_by("month", maintain_order=True):
        rows = lines.drop("month", "amount_micros")
        write_rows(rows, directory / "landing" / "rentals" / f"rentals-{month}.{file_format}", file_format)


def _build_test_line(day: date, number: int) -> pl.DataFrame:
    """Return a test charge of amount 0. Bills are complete from the first one on, and the last one advances their frontier."""
    midnight = datetime.combine(day, time())
    row = {
        "line_id": f"T{number}",
        "msisdn": MARKED,
        "item": ROUTER,
        "period_from": midnight,
        "amount_micros": 0,
        "billed_at": midnight,
    }
    return pl.DataFrame([row], schema=CHARGE)


def contracts_text(file_format: str, *, invoices: bool) -> str:
    """Return the sources and the rule of contracts in the form of a `trueup.toml`; with `invoices`, charges name their invoice."""
    tolerance = f"0.{AMOUNT_TOLERANCE_MICROS:06d}"
    return _TEXT.format(
        ext=file_format, zone=ZONE, service=SERVICE, currency=CURRENCY, tolerance=tolerance, grace=GRACE.days,
        invoice='invoice_id = { column = "invoice", optional = true }\n' if invoices else "",
    )  # fmt: skip


_TEXT = """
# Contracts with rentals, fees and discounts. Their charges need no usage.
[[source]]
name = "contract_states"
stream = "subscriber"
path = "landing/contracts/states.{ext}"
format = "{ext}"
timezone = "{zone}"
identity = "content"
[source.columns]
system = "system"
subscriber = "msisdn"
account = "account"
plan = "plan"
status = "status"
valid_from = "valid_from"
valid_to = "valid_to"
cycle_day = "cycle_day"
timezone = "timezone"

[[source]]
name = "contract_prices"
stream = "tariff"
path = "landing/contracts/prices.{ext}"
format = "{ext}"
timezone = "{zone}"
identity = "content"

[[source]]
name = "rentals"
stream = "charge"
path = "landing/rentals/*.{ext}"
format = "{ext}"
timezone = "{zone}"
lateness = "1d"
[source.columns]
record_key = "line_id"
account = "account"
subscriber = "msisdn"
item = "item"
period_from = "period_from"
period_to = "period_to"
amount = "amount"
billed_at = "billed_at"
started_at = "billed_at"
{invoice}corrects = {{ column = "corrects", optional = true }}
[source.constants]
service = "{service}"
currency = "{currency}"

[reconcile.{service}]
amount_tolerance = "{tolerance}"
grace = "{grace}d"
"""
