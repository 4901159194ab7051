"""Record the truth about each mistake in an invoice, with its money."""

from __future__ import annotations

import polars as pl

from trueup.simulate.bills.invoice_draw import GRACE, tax_of
from trueup.simulate.bills.invoice_mistakes import CREDIT_MICROS
from trueup.simulate.catalogue import KINDS
from trueup.simulate.invoice_key import invoice_key
from trueup.simulate.market.services import CURRENCY, FOREIGN_CURRENCY

UNDECIDABLE = ("invoice_missing_not_due", "invoice_tax_within_tolerance")
_WITHOUT_MONEY = ("invoice_missing_number", "invoice_repeated_number", "invoice_number_outside_series")


def record_invoice_truth(bills: pl.DataFrame, documents: pl.DataFrame, charges: pl.DataFrame) -> pl.DataFrame:
    """Return one row of the truth per bill with a mistake or look-alike.

    `documents` (`DOCUMENT`) are invoices and credit notes; `charges` have their `bill`, amount and start.
    """
    rows = _add_document_amounts(bills.drop_nulls("kind"), documents)
    rows = _add_later_charges(rows, charges).with_columns(impact_micros=_derive_true_impact())
    names = {n: pl.col("kind").replace_strict(list(KINDS), [getattr(k, n) for k in KINDS.values()], return_dtype=pl.String)
             for n in ("expected_kind", "category")}  # fmt: skip
    decidable = ~pl.col("kind").is_in(list(UNDECIDABLE))
    about = rows.with_columns(**names, about=_number_in_finding()).with_columns(
        key=invoice_key("expected_kind", "about", "account", "period_from"), counts=(pl.col("category") == "leak") & decidable
    )
    is_foreign = pl.col("kind") == "invoice_other_currency"
    absent = pl.col("kind").is_in(["invoice_missing", "invoice_missing_not_due", "invoice_uninvoiced_charge"])
    due = pl.col("period_to").cast(pl.Datetime("us", "UTC")) + GRACE
    no_keys = pl.lit([], pl.List(pl.String))
    return about.select(
        "kind", expected_kind=pl.when(decidable).then("expected_kind"), expected_status=pl.when("counts").then(pl.lit("open")),
        kernel_kind=pl.lit(None, pl.String), decidable=decidable, subscriber=pl.lit(None, pl.String),
        # A finding about invoices has no record: the number, or the account and period, stands in for its key.
        usage_record_keys=pl.when(pl.col("counts")).then(pl.concat_list("key")).otherwise(no_keys),
        impact_micros=pl.when(pl.col("counts")).then("impact_micros").otherwise(0),
        currency=pl.when(is_foreign).then(pl.lit(FOREIGN_CURRENCY)).otherwise(pl.lit(CURRENCY)),
        knowable_at=pl.when(absent).then(due).otherwise("issued_at"),
        details=pl.struct(
            "account", "number", period_from=pl.col("period_from").dt.strftime("%Y-%m-%d"),
            period_to=pl.col("period_to").dt.strftime("%Y-%m-%d"),
        ).struct.json_encode(),
    )  # fmt: skip


def _add_document_amounts(bills: pl.DataFrame, documents: pl.DataFrame) -> pl.DataFrame:
    """Add the amounts of each bill's invoice, and number and amount of its second invoice and its credit note."""
    is_invoice = pl.col("type") == "I"
    amounts = documents.filter(is_invoice & (pl.col("copy") == 0)).select(
        "bill", "number", "net_micros", "tax_micros", "total_micros"
    )
    second = documents.filter(is_invoice & (pl.col("copy") == 1)).select(
        "bill", second_number="number", second_micros="total_micros"
    )
    credit = documents.filter(~is_invoice).select("bill", credit_number="number", credit_micros="total_micros")
    for frame in (amounts, second, credit):
        bills = bills.join(frame, on="bill", how="left", maintain_order="left")
    return bills


def _add_later_charges(rows: pl.DataFrame, charges: pl.DataFrame) -> pl.DataFrame:
    """Add the sum of the charges for usage that began after the invoice was issued; NULL: none."""
    of_usage = charges.filter(pl.col("is_usage") & (pl.col("currency") == CURRENCY)).join(
        rows.select("bill", "issued_at"), on="bill"
    )
    later = of_usage.filter(pl.col("start") > pl.col("issued_at")).group_by("bill").agg(later_micros=pl.col("amount_micros").sum())
    return rows.join(later, on="bill", how="left", maintain_order="left")


def _derive_true_impact() -> pl.Expr:
    """Return expected − billed of each mistake; NULL where it is unknown."""
    kind, total = pl.col("kind"), pl.col("total_micros")
    charged = pl.when(pl.col("charged_micros") != 0).then("charged_micros")
    return (
        pl.when(kind.is_in(list(_WITHOUT_MONEY))).then(None)
        .when(kind == "invoice_lines_differ").then(pl.col("charged_micros") - total)
        .when(kind == "invoice_other_currency").then("foreign_micros")
        .when(kind == "invoice_tax_differs").then(tax_of(pl.col("net_micros")) - pl.col("tax_micros"))
        .when(kind == "invoice_total_differs").then(pl.col("net_micros") + pl.col("tax_micros") - total)
        .when(kind == "invoice_missing").then(charged).when(kind == "invoice_repeated").then(-pl.col("second_micros"))
        .when(kind == "invoice_credit_without_invoice").then(-pl.col("credit_micros"))
        .when(kind == "invoice_credit_above_invoice").then(CREDIT_MICROS)
        .when(kind == "invoice_before_usage").then(-pl.col("later_micros"))
        .when(kind == "invoice_uninvoiced_charge").then("greatest_micros").otherwise(0)
    )  # fmt: skip


def _number_in_finding() -> pl.Expr:
    """Return the number that the finding about each mistake should name; for a gap it is the number before the gap."""
    kind = pl.col("kind")
    before = pl.col("number").str.slice(6).cast(pl.Int64, strict=False) - 1 - pl.col("skipped")
    return (
        pl.when(kind == "invoice_repeated").then("second_number")
        .when(kind == "invoice_credit_without_invoice").then("credit_number")
        .when(kind == "invoice_missing_number")
        .then(pl.concat_str(pl.col("number").str.slice(0, 6), before.cast(pl.String).str.zfill(7))).otherwise("number")
    )  # fmt: skip
