"""The registry of kinds and reasons of invoice findings, which views, the gate of bill runs and documents use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Money = Literal["exact", "sometimes", "none"]


@dataclass(frozen=True)
class InvoiceKind:
    """The meaning of one kind of row of `invoice_findings`.

    `money` states whether the impact is known: *exact*, *sometimes* (NULL where the log lacks it), or *none* (always NULL).
    """

    name: str
    meaning: str
    money: Money
    next_step: str


_KINDS = (
    InvoiceKind(
        "lines_differ", "The charges of an invoice do not add up to its amount.", "exact",
        "Look for charges that name another invoice, or none, and for lines that billing added by hand.",
    ),
    InvoiceKind(
        "other_currency", "Charges name an invoice of another currency.", "exact",
        "Compare the currency of the account in rating and in billing.",
    ),
    InvoiceKind(
        "tax_differs", "The tax is not the declared share of the net amount.", "exact", "Compare the tax code of the account.",
    ),
    InvoiceKind("total_differs", "Net amount and tax do not add up to the total.", "exact", "Correct the invoice template."),
    InvoiceKind(
        "missing_invoice", "An account was active in a period, and no invoice bills it.", "sometimes",
        "Look for the account in the bill run's list of rejected accounts.",
    ),
    InvoiceKind(
        "repeated_invoice", "Two invoices bill an account for one period, or for days in common.", "sometimes",
        "Credit one of them, or have the later one name the invoice that it replaces.",
    ),
    InvoiceKind(
        "missing_number", "Numbers are missing between two invoices of a series.", "none",
        "Ask billing for the invoices; a number that was cancelled needs a record as well.",
    ),
    InvoiceKind("repeated_number", "Two invoices have one number.", "none", "Find the bill run that used the number again."),
    InvoiceKind(
        "number_outside_series", "The number of an invoice fits no declared series.", "none",
        "Declare the series, or find who issued the invoice.",
    ),
    InvoiceKind(
        "credit_without_invoice", "A credit note names no known invoice of its account and currency.", "exact",
        "Find what it credits, or claim the money back.",
    ),
    InvoiceKind(
        "credit_above_invoice", "The credit notes of an invoice are greater than the invoice.", "exact",
        "Claim the difference back, and find the credit that was issued twice.",
    ),
    InvoiceKind(
        "replaces_without_invoice", "A reissued invoice replaces no known invoice of its account.", "none",
        "Find the invoice that it should replace: both are demanded from customers.",
    ),
    InvoiceKind(
        "invoice_before_usage", "An invoice of usage was issued before its period was over.", "sometimes",
        "Look on the next invoice for the usage from the issue to the end of the period.",
    ),
    InvoiceKind(
        "uninvoiced_charge", "Charges are on no invoice, although the invoice of their period is due.", "exact",
        "Bill the charges with the next invoice.",
    ),
)  # fmt: skip
INVOICE_KINDS: dict[str, InvoiceKind] = {kind.name: kind for kind in _KINDS}
"""All kinds by name, in the order in which documents list them."""

INVOICE_REASONS: dict[str, str] = {
    "no_lines": "no charge names the invoice",
    "no_charges": "no charge of the account and period is known",
    "charges_known": "the charges of the account and period are on no invoice",
    "same_period": "both invoices have the same first and last day",
    "overlap": "the periods of both invoices have days in common",
    "names_none": "the credit note names no invoice",
    "unknown_number": "no invoice with the named number is known",
    "other_account": "the named invoice is of another account",
    "none_standing": "the named invoice was replaced, and each invoice in its place was replaced too",
    "other_kind": "the named number is that of a credit note, or that of the invoice for a credit note",
    "other_currency": "the named invoice is of another currency",
    "no_number": "the charges name no invoice",
}
"""Why a row differs, by the word in `invoice_findings.reason`."""
