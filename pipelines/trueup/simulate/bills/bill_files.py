"""Write the files of bundles and invoices, and the sources and rules that read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from trueup.simulate.bills import bundle_draw as bundles
from trueup.simulate.bills.bundle_draw import draw_bundles
from trueup.simulate.bills.invoice_draw import GRACE, LATENESS, TOLERANCE_MICROS, assign_bills, collect_charges
from trueup.simulate.bills.invoice_mistakes import draw_invoice_mistakes, make_credit_notes, make_invoices
from trueup.simulate.bills.invoice_truth import record_invoice_truth
from trueup.simulate.contracts.contract_draw import ZONE, Months
from trueup.simulate.contracts.contract_files import MARKED, Contracts
from trueup.simulate.contracts.price_list import TAX_PERCENT
from trueup.simulate.files.write import amount_text, write_rows
from trueup.simulate.market.services import AMOUNT_TOLERANCE_MICROS, CURRENCY
from trueup.simulate.traffic.load import SEGMENTS
from trueup.units import MICROS

_PAYMENT_TERM = timedelta(days=14)
_TEST_RECORDS_AFTER = timedelta(days=2)


@dataclass(frozen=True)
class Bills:
    """The numbers of usage records, lines and documents written, the invoice number of each charge, and rows of the truth."""

    usage_records: int
    lines: int
    documents: int
    numbers: pl.DataFrame
    truth: pl.DataFrame


def write_bills(rng: np.random.Generator, drawn: Contracts, months: Months, directory: Path, file_format: str) -> Bills:
    """Write the usage and lines of bundles, and all invoices of the contracts."""
    made = draw_bundles(rng, drawn.contracts, drawn.due, months)
    charges = collect_charges(drawn.bills.charges, made.lines)
    bills, charges = assign_bills(drawn.contracts, drawn.due, charges, months)
    mistaken = draw_invoice_mistakes(rng, bills, months.first)
    invoices = make_invoices(mistaken)
    documents = pl.concat([invoices, make_credit_notes(invoices)])
    numbers = _name_invoices(charges, mistaken, invoices)
    _write_bundles(made, numbers, months, directory / "landing" / "bundles", file_format)
    _write_documents(documents, directory / "landing" / "invoices", file_format)
    truth = pl.concat([made.truth, record_invoice_truth(mistaken, documents, charges)], how="diagonal")
    return Bills(made.usage.height, made.lines.height, documents.height, numbers, truth)


def _name_invoices(charges: pl.DataFrame, bills: pl.DataFrame, invoices: pl.DataFrame) -> pl.DataFrame:
    """Return `line_id`, and the invoice number that each charge names as `invoice`; NULL where it names none."""
    first = invoices.filter(pl.col("copy") == 0).select("bill", invoice="number")
    named = charges.join(first, on="bill", how="left", maintain_order="left")
    loose = bills.filter(pl.col("kind") == "invoice_uninvoiced_charge").select("bill", loose="greatest_line")
    rows = named.join(loose, on="bill", how="left", maintain_order="left")
    # A quarter of the uninvoiced charges name an invoice number that does not exist.
    unknown = pl.when(pl.col("bill") % 4 == 0).then(pl.format("LOST-{}", "line_id"))
    is_loose = (pl.col("loose") == pl.col("line_id")).fill_null(False)
    return rows.select("line_id", invoice=pl.when(is_loose).then(unknown).otherwise("invoice"))


def _write_bundles(made: bundles.Bundles, numbers: pl.DataFrame, months: Months, landing: Path, file_format: str) -> None:
    last = datetime.combine(months.last + _TEST_RECORDS_AFTER, time())
    usage_marker = {"record_id": "T2", "msisdn": MARKED, "service": bundles.SMS, "start": last, "quantity": 1}
    usage = pl.concat([made.usage, pl.DataFrame([usage_marker], schema=made.usage.schema)])
    lines = made.lines.join(numbers, on="line_id", how="left", maintain_order="left").select(
        "line_id", "msisdn", "account", "start", "amount_micros", "currency", "billed_at", "invoice"
    )
    line_marker = {"line_id": "T3", "msisdn": MARKED, "start": last, "amount_micros": 0, "currency": CURRENCY, "billed_at": last}
    lines = pl.concat([lines, pl.DataFrame([line_marker], schema=lines.schema)])
    amounts = lines.with_columns(amount=amount_text("amount_micros")).drop("amount_micros")
    for name, frame, at in (("usage", usage, "start"), ("lines", amounts, "billed_at")):
        by_month = frame.with_columns(month=pl.col(at).dt.strftime("%Y%m"))
        for (month,), rows in by_month.group_by("month", maintain_order=True):
            write_rows(rows.drop("month"), landing / f"{name}-{month}.{file_format}", file_format)


def _write_documents(documents: pl.DataFrame, landing: Path, file_format: str) -> None:
    issued = pl.col("issued_at").dt.replace_time_zone(None)
    rows = documents.sort("issued_at", "number", "account").with_row_index("record").select(
        pl.format("D{}", pl.col("record").cast(pl.Int64) + 1).alias("id"), "number", "account", "type",
        period_from=pl.col("period_from").cast(pl.Datetime("us")), period_to=pl.col("period_to").cast(pl.Datetime("us")),
        net=amount_text("net_micros"), tax=amount_text("tax_micros"), total=amount_text("total_micros"), issued=issued,
        due=issued + pl.lit(_PAYMENT_TERM), credits="credits", replaces="replaces", month=issued.dt.strftime("%Y%m"),
    )  # fmt: skip
    for (month,), of_month in rows.group_by("month", maintain_order=True):
        write_rows(of_month.drop("month"), landing / f"invoices-{month}.{file_format}", file_format)


def bills_text(file_format: str) -> str:
    """Return the sources and rules of bundles and invoices in the form of a `trueup.toml`."""
    prices = "".join(
        f'\n[reconcile.{name}]\nprice = "{price // MICROS}.{price % MICROS:06d}"\n' for name, price in bundles.PRICE_MICROS.items()
    )
    return _TEXT.format(
        ext=file_format, zone=ZONE, service=bundles.SERVICE, covers=", ".join(f'"{name}"' for name in bundles.PRICE_MICROS),
        tolerance=f"0.{AMOUNT_TOLERANCE_MICROS:06d}", grace=bundles.GRACE.days, prices=prices, due=GRACE.days,
        lateness=LATENESS.days, currency=CURRENCY, rate=f"0.{TAX_PERCENT}", tax_tolerance=f"0.{TOLERANCE_MICROS:06d}",
        segments=", ".join(f'"{name}"' for name in SEGMENTS),
    )  # fmt: skip


_TEXT = """
# Calls, messages and data of contracts. One or two lines of each cycle bill them together.
[[source]]
name = "bundle_usage"
stream = "usage"
path = "landing/bundles/usage-*.{ext}"
format = "{ext}"
timezone = "{zone}"
lateness = "1d"
[source.columns]
record_key = "record_id"
subscriber = "msisdn"
service = "service"
started_at = "start"
quantity = "quantity"

[[source]]
name = "bundle_lines"
stream = "charge"
path = "landing/bundles/lines-*.{ext}"
format = "{ext}"
timezone = "{zone}"
lateness = "1d"
[source.columns]
record_key = "line_id"
account = "account"
subscriber = "msisdn"
started_at = "start"
amount = "amount"
currency = "currency"
billed_at = "billed_at"
invoice_id = "invoice"
corrects = {{ column = "corrects", optional = true }}
[source.constants]
service = "{service}"

[reconcile.{service}]
match = ["aggregate"]
covers = [{covers}]
period = "cycle"
amount_tolerance = "{tolerance}"
grace = "{grace}d"
{prices}
# Invoices and credit notes of contracts; other customers receive none here.
[[source]]
name = "invoices"
stream = "invoice"
path = "landing/invoices/*.{ext}"
format = "{ext}"
timezone = "UTC"
lateness = "{lateness}d"
[source.columns]
record_key = "id"
number = "number"
account = "account"
kind = {{ column = "type", map = {{ I = "invoice", C = "credit_note" }} }}
period_from = "period_from"
period_to = "period_to"
net = "net"
tax = "tax"
total = "total"
billed_at = "issued"
due_at = "due"
refers_to = "credits"
replaces = "replaces"
[source.constants]
currency = "{currency}"

[invoice]
grace = "{due}d"
lines = "total"
series = ['^R(?P<series>[0-9]{{4}})-(?P<sequence>[0-9]+)$', '^C(?P<series>[0-9]{{4}})-(?P<sequence>[0-9]+)$']
except_segments = [{segments}]

[[invoice.tax]]
currency = "{currency}"
valid_from = 2020-01-01
rate = "{rate}"
tolerance = "{tax_tolerance}"
"""
