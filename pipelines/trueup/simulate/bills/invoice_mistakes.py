"""Draw the mistake in each bill, make and number the invoices, and make credit notes."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from trueup.simulate.bills.invoice_draw import (
    GRACE,
    LATENESS,
    OTHER_TAX_PERCENT,
    net_of,
    tax_of,
)

SHARES = {
    "invoice_other_currency": 1.0, "invoice_missing": 0.015, "invoice_missing_not_due": 0.05, "invoice_before_usage": 0.015,
    "invoice_uninvoiced_charge": 0.015, "invoice_lines_differ": 0.015, "invoice_tax_differs": 0.015, "invoice_total_differs": 0.015,
    "invoice_repeated": 0.015, "invoice_missing_number": 0.015, "invoice_repeated_number": 0.015,
    "invoice_number_outside_series": 0.015, "invoice_credit_without_invoice": 0.015, "invoice_credit_above_invoice": 0.015,
    "invoice_tax_within_tolerance": 0.015, "invoice_credited_in_part": 0.02, "invoice_reissued": 0.02,
}  # fmt: skip
"""Each mistake or look-alike to its rate among the bills that it fits; a bill gets the first one drawn for it."""
ADDED_MICROS, WRONG_TOTAL_MICROS, CREDIT_MICROS, SHIFT_MICROS = 5_000_000, 1_000_000, 1_190_000, 5_000
_LEAST_TOTAL_MICROS = 6_000_000
_EARLY_ISSUE_AFTER = timedelta(days=12, hours=6)
_EARLIEST_LENGTH_DAYS = 20
_NUMBERING_MISTAKES = ("invoice_missing_number", "invoice_repeated_number", "invoice_number_outside_series")
_CREDITS_AFTER = timedelta(days=2)
_WITHOUT_INVOICE = ("invoice_missing", "invoice_missing_not_due")

DOCUMENT: dict[str, pl.DataType] = {
    "bill": pl.Int64(),
    "kind": pl.String(),
    "number": pl.String(),
    "account": pl.String(),
    "type": pl.String(),
    "period_from": pl.Date(),
    "period_to": pl.Date(),  # exclusive
    "net_micros": pl.Int64(),
    "tax_micros": pl.Int64(),
    "total_micros": pl.Int64(),
    "issued_at": pl.Datetime("us", "UTC"),
    "credits": pl.String(),
    "replaces": pl.String(),
    "copy": pl.Int64(),  # 1: the second invoice of a bill
    "skipped": pl.Int64(),  # number of invoice numbers that the series skips before this invoice
}
"""An invoice or credit note, with its bill and the mistake in it as `kind` (NULL: none)."""


def draw_invoice_mistakes(rng: np.random.Generator, bills: pl.DataFrame, first: date) -> pl.DataFrame:
    """Return the bills in the order of issue, each with the `kind` of its mistake; NULL: none."""
    last_issue = bills["issued_at"].max()
    ends = pl.col("period_to").cast(pl.Datetime("us", "UTC"))
    is_due = ends + GRACE + LATENESS + timedelta(days=1) <= pl.lit(last_issue)
    is_open = (ends + GRACE > pl.lit(last_issue)) & (pl.col("issued_at") < pl.lit(last_issue))
    own, total, begun = pl.col("is_own"), pl.col("charged_micros"), pl.col("period_from") >= first
    active, days = pl.col("charged_days") > 0, (pl.col("period_to") - pl.col("period_from")).dt.total_days()
    loose = own & begun & active
    possible: dict[str, pl.Expr] = dict.fromkeys(SHARES, is_due & (total >= _LEAST_TOTAL_MICROS)) | {
        "invoice_other_currency": pl.col("foreign_micros") != 0, "invoice_missing": is_due & loose,
        "invoice_missing_not_due": is_open & loose,
        "invoice_before_usage": is_due & begun & (pl.col("usage_lines") > 0) & (days >= _EARLIEST_LENGTH_DAYS),
        "invoice_uninvoiced_charge": is_due & loose & (pl.col("lines") > 1),
    }  # fmt: skip
    draws = {kind: pl.lit(pl.Series(rng.random(bills.height) < share)) for kind, share in SHARES.items()}
    chosen = pl.coalesce(*(pl.when(possible[kind] & draws[kind]).then(pl.lit(kind)) for kind in SHARES))
    skipped = pl.Series("skipped", rng.integers(1, 4, bills.height))
    early = pl.col("period_from").cast(pl.Datetime("us", "UTC")) + _EARLY_ISSUE_AFTER
    drawn = bills.with_columns(skipped, kind=chosen).with_columns(
        issued_at=pl.when(pl.col("kind") == "invoice_before_usage").then(early).otherwise("issued_at")
    )
    ordered = drawn.sort("issued_at", "account")
    former = pl.col("kind").filter(~pl.col("kind").is_in(list(_WITHOUT_INVOICE)).fill_null(False))
    issued = ordered.filter(~pl.col("kind").is_in(list(_WITHOUT_INVOICE)).fill_null(False)).select(
        "bill",
        former=former.shift(1),
        is_first=pl.col("issued_at").dt.year() != pl.col("issued_at").dt.year().shift(1),
        follows=pl.col("issued_at") == pl.col("issued_at").shift(1),
    )
    # Only the number of the invoice just before is repeated, and only where that invoice has no mistake.
    is_second = (pl.col("former").is_null() & pl.col("follows")).fill_null(False)
    fits = ~pl.col("is_first").fill_null(True) & ((pl.col("kind") != "invoice_repeated_number") | is_second)
    judged = ordered.join(issued, on="bill", how="left", maintain_order="left")
    unfit = pl.col("kind").is_in(list(_NUMBERING_MISTAKES)) & ~fits
    return judged.with_columns(kind=pl.when(unfit).then(None).otherwise("kind")).drop("former", "is_first", "follows")


def make_invoices(bills: pl.DataFrame) -> pl.DataFrame:
    """Return the invoices (`DOCUMENT`) of bills with mistakes, numbered in the order of issue."""
    kind = pl.col("kind").fill_null("")
    left_out = pl.when(kind == "invoice_uninvoiced_charge").then("greatest_micros").otherwise(0)
    wrong = (
        pl.when((kind == "invoice_lines_differ") & (pl.col("lines") > 1)).then(-pl.col("greatest_micros"))
        .when(kind == "invoice_lines_differ").then(ADDED_MICROS)
        .when(kind == "invoice_reissued").then(-WRONG_TOTAL_MICROS).otherwise(0)
    )  # fmt: skip
    made = bills.filter(~kind.is_in(list(_WITHOUT_INVOICE))).with_columns(
        total_micros=pl.col("charged_micros") - left_out + wrong, copy=pl.lit(0, pl.Int64)
    )
    again = made.filter(kind.is_in(["invoice_repeated", "invoice_reissued"])).with_columns(
        total_micros="charged_micros", copy=pl.lit(1, pl.Int64), issued_at=pl.col("issued_at") + pl.duration(days=1)
    )
    return _number_invoices(_add_tax(pl.concat([made, again])))


def _add_tax(made: pl.DataFrame) -> pl.DataFrame:
    """Add net amount and tax. They add up to the total, unless a wrong total is the mistake."""
    kind, total = pl.col("kind").fill_null(""), pl.col("total_micros")
    net = (
        pl.when(kind == "invoice_tax_differs").then(net_of(total, OTHER_TAX_PERCENT))
        .when(kind == "invoice_tax_within_tolerance").then(net_of(total) - SHIFT_MICROS)
        .when(kind == "invoice_total_differs").then(net_of(total) + WRONG_TOTAL_MICROS).otherwise(net_of(total))
    )  # fmt: skip
    rows = made.with_columns(net_micros=net)
    tax = pl.when(kind == "invoice_total_differs").then(tax_of(pl.col("net_micros"))).otherwise(total - pl.col("net_micros"))
    return rows.with_columns(tax_micros=tax)


def _number_invoices(made: pl.DataFrame) -> pl.DataFrame:
    kind, year = pl.col("kind").fill_null(""), pl.col("issued_at").dt.year()
    is_first_copy = pl.col("copy") == 0
    advance = (
        pl.when(is_first_copy & (kind == "invoice_missing_number")).then(1 + pl.col("skipped"))
        .when(is_first_copy & kind.is_in(["invoice_repeated_number", "invoice_number_outside_series"])).then(0).otherwise(1)
    )  # fmt: skip
    counted = made.sort("issued_at", "copy", "account").with_columns(sequence=advance.cum_sum().over(year))
    regular = pl.format("R{}-{}", year, pl.col("sequence").cast(pl.String).str.zfill(7))
    manual = pl.format("MAN-{}-{}", "account", pl.col("period_from").dt.strftime("%Y%m%d"))
    named = counted.with_columns(number=pl.when(kind == "invoice_number_outside_series").then(manual).otherwise(regular))
    first = named.filter(is_first_copy).select("bill", first_number="number")
    replaces = pl.when((pl.col("copy") == 1) & (kind == "invoice_reissued")).then("first_number")
    rows = named.join(first, on="bill", how="left", maintain_order="left")
    return rows.with_columns(type=pl.lit("I"), credits=pl.lit(None, pl.String), replaces=replaces).select(
        pl.col(n).cast(t) for n, t in DOCUMENT.items()
    )


def make_credit_notes(invoices: pl.DataFrame) -> pl.DataFrame:
    """Return credit notes (`DOCUMENT`): some are correct, some credit no invoice, and some exceed their invoice."""
    kind, number = pl.col("kind"), pl.col("bill") % 3
    credited = invoices.filter(
        kind.is_in(["invoice_credited_in_part", "invoice_credit_without_invoice", "invoice_credit_above_invoice"])
    )
    sound = invoices.filter(kind.is_null())
    another, owner = (pl.lit(sound[name].first(), pl.String) for name in ("number", "account"))
    # A credit note without an invoice names nothing, an unknown number, or an invoice of another account.
    is_unknown = (number == 1) | (pl.col("account") == owner).fill_null(True)
    of_none = pl.when(number == 0).then(None).when(is_unknown).then(pl.format("{}-0", "number")).otherwise(another)
    total = -pl.when(kind == "invoice_credit_above_invoice").then(pl.col("total_micros") + CREDIT_MICROS).otherwise(CREDIT_MICROS)
    rows = credited.with_columns(
        total_micros=total, type=pl.lit("C"), issued_at=pl.col("issued_at") + _CREDITS_AFTER, replaces=pl.lit(None, pl.String),
        credits=pl.when(kind == "invoice_credit_without_invoice").then(of_none).otherwise("number"), skipped=pl.lit(0, pl.Int64),
    ).with_columns(net_micros=net_of(pl.col("total_micros"))).sort("issued_at", "account")  # fmt: skip
    year = pl.col("issued_at").dt.year()
    counted = rows.with_columns(
        tax_micros=pl.col("total_micros") - pl.col("net_micros"), sequence=pl.int_range(1, pl.len() + 1).over(year)
    )
    return counted.with_columns(
        number=pl.format("C{}-{}", year, pl.col("sequence").cast(pl.String).str.zfill(7))
    ).select(pl.col(n).cast(t) for n, t in DOCUMENT.items())  # fmt: skip
