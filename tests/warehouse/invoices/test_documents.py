"""Errors of single invoices and credit notes, each case worked out by hand: one account, one row, exact money."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.warehouse.invoices.invoicing import RULES, Invoicing, charge, credit, invoice

from trueup.reconcile.domain.invoice_kinds import INVOICE_KINDS, INVOICE_REASONS

DOCUMENTS = [
    invoice("R1", "fine", "100 19 119"),
    invoice("R2", "short-lines", "100 19 119"),
    invoice("R3", "tax", "10.01 1.91 11.92"),
    invoice("R4", "total", "100 19 118"),
    invoice("R5", "no-lines", "50 9.5 59.5"),
    invoice("R6", "dollars", "100 19 119"),
    invoice("R7", "early", "100 19 119", billed_at="2026-03-20"),
    invoice("R8", "advance", "31 5.89 36.89", billed_at="2026-03-01"),
    invoice("R9", "twice", "100 19 119"),
    invoice("R10", "twice", "100 19 119", billed_at="2026-04-03"),
    invoice("R11", "overlap", "100 19 119"),
    invoice("R12", "overlap", "10 1.9 11.9", period_from="2026-03-15", period_to="2026-04-15", billed_at="2026-04-16"),
    invoice("R13", "reissued", "100 19 119"),
    invoice("R14", "reissued", "100 19 119", replaces="R13", billed_at="2026-04-08"),
    invoice("R15", "credited", "100 19 119"),
    invoice("R16", "credited", "90 17.1 107.1", billed_at="2026-04-08"),
    invoice("R17", "over-credited", "100 19 119"),
    invoice("R20", "same-number", "0 0 0"),
    invoice("R20", "same-number-too", "0 0 0", id="again", billed_at="2026-04-03"),
    invoice("R21", "twice-no-lines", "100 19 119"),
    invoice("R22", "twice-no-lines", "100 19 119", billed_at="2026-04-03"),
    invoice("X1", "foreign", "0 0 0"),
    credit("C1", "credited", "-100 -19 -119", "R15"),
    credit("C2", "credit-of-none", "-10 -1.9 -11.9", ""),
    credit("C3", "credit-of-unknown", "-10 -1.9 -11.9", "R404"),
    credit("C4", "credit-of-another", "-10 -1.9 -11.9", "R1"),
    credit("C5", "fine", "-10 -1.9 -11.9", "R1", currency="USD"),
    credit("C6", "over-credited", "-84.03 -15.97 -100", "R17"),
    credit("C7", "over-credited", "-42.02 -7.98 -50", "R17", billed_at="2026-05-02", period_from="2026-04-01", period_to="2026-05-01"),
]  # fmt: skip
CHARGES = [
    charge("R1", "fine", "60"), charge("R1", "fine", "40"), charge("R2", "short-lines", "60"), charge("R2", "short-lines", "30"),
    charge("R3", "tax", "10.01"), charge("R4", "total", "100"), charge("R6", "dollars", "80"),
    charge("R6", "dollars", "20", currency="USD"), charge("R7", "early", "60"), charge("R7", "early", "40", started_at="2026-03-25"),
    charge("R8", "advance", "31", item="rental", subscriber="S1", period_from="2026-03-01", started_at="", billed_at="2026-03-01"),
    charge("R9", "twice", "100"), charge("R10", "twice", "100"), charge("R11", "overlap", "100"), charge("R12", "overlap", "10"),
    charge("R13", "reissued", "100"), charge("R15", "credited", "100"), charge("R16", "credited", "90"),
    charge("R21", "twice-no-lines", "100"),
    charge("R17", "over-credited", "100"), charge("C6", "over-credited", "-84.03"),
]  # fmt: skip


@pytest.fixture(scope="module")
def billed(tmp_path_factory: pytest.TempPathFactory) -> Invoicing:
    """Return a project with all documents and charges, both feeds complete."""
    made = Invoicing(tmp_path_factory.mktemp("documents"))
    made.deliver(invoices=DOCUMENTS, charges=CHARGES)
    made.close("invoices", date(2026, 5, 15))
    made.close("charges", date(2026, 5, 15))
    return made


Found = dict[str | None, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def found(billed: Invoicing) -> Found:
    """Return the findings of each account."""
    of_account: Found = {}
    for account, *finding in billed.findings():
        of_account.setdefault(account, []).append(tuple(finding))
    return of_account


CASES = {
    "fine": [("credit_without_invoice", "C5", "R1", "0.000000", "-11.900000", "11.900000", "USD", "other_currency", 1)],
    "short-lines": [("lines_differ", "R2", None, "90.000000", "100.000000", "-10.000000", "EUR", None, 2)],
    # 10.01 × 0.19 = 1.9019, so 1.90
    "tax": [("tax_differs", "R3", None, "1.900000", "1.910000", "-0.010000", "EUR", None, 1)],
    "total": [("total_differs", "R4", None, "119.000000", "118.000000", "1.000000", "EUR", None, 1)],
    "no-lines": [("lines_differ", "R5", None, "0.000000", "50.000000", "-50.000000", "EUR", "no_lines", 0)],
    "dollars": [
        ("lines_differ", "R6", None, "80.000000", "100.000000", "-20.000000", "EUR", None, 1),
        ("other_currency", "R6", None, "20.000000", "0.000000", "20.000000", "USD", None, 1),
    ],
    "early": [("invoice_before_usage", "R7", None, "60.000000", "100.000000", "-40.000000", "EUR", None, 1)],
    "advance": [],
    "twice": [("repeated_invoice", "R10", "R9", "0.000000", "119.000000", "-119.000000", "EUR", "same_period", 1)],
    # The money of the repeated invoice counts once: it lacks lines, but raises no second finding that its lines differ.
    "twice-no-lines": [("repeated_invoice", "R22", "R21", "0.000000", "119.000000", "-119.000000", "EUR", "same_period", 1)],
    "overlap": [("repeated_invoice", "R12", "R11", None, None, None, "EUR", "overlap", 1)],
    "reissued": [],
    "credited": [],
    "credit-of-none": [("credit_without_invoice", "C2", None, "0.000000", "-11.900000", "11.900000", "EUR", "names_none", 1)],
    "credit-of-unknown": [("credit_without_invoice", "C3", "R404", "0.000000", "-11.900000", "11.900000", "EUR", "unknown_number", 1)],
    "credit-of-another": [("credit_without_invoice", "C4", "R1", "0.000000", "-11.900000", "11.900000", "EUR", "other_account", 1)],
    # 100 and 50 of an invoice of 119
    "over-credited": [("credit_above_invoice", "R17", "C7", "-119.000000", "-150.000000", "31.000000", "EUR", None, 2)],
    "same-number": [],
    "same-number-too": [("repeated_number", "R20", None, None, None, None, "EUR", None, 1)],
    "foreign": [("number_outside_series", "X1", None, None, None, None, "EUR", None, 1)],
}  # fmt: skip


@pytest.mark.parametrize("account", CASES)
def test_an_account_has_exactly_its_findings(found: Found, account: str) -> None:
    assert found.get(account, []) == CASES[account]


def test_numbers_that_are_missing_are_a_row_for_each_gap(found: Found) -> None:
    assert found[None] == [("missing_number", "R17", "R20", None, None, None, None, None, 2)]


def test_every_kind_and_reason_is_in_the_registry(billed: Invoicing) -> None:
    found = billed.ask("SELECT DISTINCT kind, reason FROM invoice_findings")
    assert {kind for kind, _ in found} <= INVOICE_KINDS.keys()
    assert {reason for _, reason in found if reason is not None} <= INVOICE_REASONS.keys()
    assert billed.ask("SELECT kind FROM invoice_kinds") == [(kind,) for kind in INVOICE_KINDS]


def test_ids_of_findings_are_their_own(billed: Invoicing) -> None:
    assert billed.ask("SELECT count(*) - count(DISTINCT invoice_finding_id) FROM invoice_findings") == [(0,)]


def test_credits_lower_the_corrected_booking_once(billed: Invoicing) -> None:
    remains = billed.ask(
        "SELECT number, status, credited, remaining FROM invoices WHERE account IN ('credited', 'reissued') ORDER BY ALL"
    )
    assert remains == [
        ("C1", "standing", Decimal(0), Decimal(0)),
        ("R13", "replaced", Decimal(0), Decimal(0)),
        ("R14", "standing", Decimal(0), Decimal(119)),
        ("R15", "credited", Decimal(-119), Decimal(0)),
        ("R16", "standing", Decimal(0), Decimal("107.1")),
    ]


def test_the_lines_of_a_reissued_invoice_are_those_of_the_former(billed: Invoicing) -> None:
    assert billed.ask("SELECT charges, charged, lines_of FROM invoices WHERE number = 'R14'") == [(1, Decimal(100), "R13")]


@pytest.mark.parametrize(
    ("rounding", "net", "tax"),
    [
        # 0.25 × 0.1 is 0.025: half of the last decimal
        ("half_up", "0.25", "0.03"), ("half_even", "0.25", "0.02"), ("half_even", "0.35", "0.04"), ("up", "0.21", "0.03"),
        ("down", "0.29", "0.02"), ("half_up", "-0.25", "-0.03"), ("up", "-0.21", "-0.03"), ("down", "-0.29", "-0.02"),
    ],
)  # fmt: skip
def test_the_declared_tax_is_rounded_once(rounding: str, net: str, tax: str, rounded: dict[tuple[str, str], Decimal]) -> None:
    assert rounded[rounding, net] == Decimal(tax)


@pytest.fixture(scope="module")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Decimal]:
    """Return the declared tax of 10 % by rounding and net amount: each rounding is in force in a currency of its own."""
    currencies = {"half_up": "EUR", "half_even": "USD", "up": "GBP", "down": "CHF"}
    taxes = "".join(
        f'[[invoice.tax]]\ncurrency = "{code}"\nvalid_from = 2026-04-01\nrate = "0.1"\nrounding = "{rounding}"\n'
        for rounding, code in currencies.items()
    )
    made = Invoicing(tmp_path_factory.mktemp("tax"), f"[invoice]\n{taxes}")
    nets = ("0.25", "0.35", "0.21", "0.29", "-0.25", "-0.21", "-0.29")
    made.deliver(
        invoices=[invoice(f"{r}{net}", "a", f"{net} 0 {net}", currency=code) for r, code in currencies.items() for net in nets]
    )
    of_currency = {code: rounding for rounding, code in currencies.items()}
    found = made.ask("SELECT currency, net, expected_tax FROM invoices")
    return {(of_currency[code], f"{net:.2f}"): tax for code, net, tax in found}


def test_a_tax_holds_from_its_day_and_a_credit_note_has_that_of_its_invoice(tmp_path: Path) -> None:
    old = '[[invoice.tax]]\ncurrency = "EUR"\nvalid_from = 2026-01-01\nrate = "0.16"\n'
    made = Invoicing(
        tmp_path, f'[invoice]\nlines = "total"\n{old}' + RULES[RULES.index("[[invoice.tax]]") :].replace("2020-01-01", "2026-04-05")
    )
    made.deliver(
        invoices=[
            invoice("1", "a", "100 16 116"), invoice("2", "b", "100 19 119", billed_at="2026-04-05"), credit("3", "a", "-50 -8 -58", "1"),
            invoice("0", "c", "100 5 105", billed_at="2025-12-31", period_from="2025-12-01", period_to="2025-12-31"),
        ],
        charges=[charge("1", "a", "116"), charge("2", "b", "119"), charge("0", "c", "105", started_at="2025-12-10")],
    )  # fmt: skip
    assert made.findings() == []
    assert made.ask("SELECT number, expected_tax FROM invoices ORDER BY number") == [
        ("0", None), ("1", Decimal(16)), ("2", Decimal(19)), ("3", Decimal(-8)),
    ]  # fmt: skip
