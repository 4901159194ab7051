"""Reissued invoices and their credits: each charge and each credit counts at one invoice, each case by hand."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from tests.warehouse.invoices.invoicing import Invoicing, charge, credit, invoice

TOTAL = "100 19 119"
LATER = "2026-04-03"
DOCUMENTS = [
    invoice("R1", "moved-from", TOTAL),
    invoice("R2", "moved-to", TOTAL, billed_at=LATER, replaces="R1"),
    invoice("R3", "split", TOTAL),
    invoice("R4", "split", "60 11.4 71.4", billed_at=LATER, replaces="R3"),
    invoice("R5", "split", "40 7.6 47.6", billed_at=LATER, replaces="R3"),
    invoice("R6", "unknown", TOTAL, replaces="R404"),
    invoice("R7", "late-credit", TOTAL),
    invoice("R8", "late-credit", TOTAL, billed_at=LATER, replaces="R7"),
    credit("C1", "late-credit", "-50 -9.5 -59.5", "R7"),
    invoice("R9", "copied", TOTAL),
    invoice("R9", "copied", TOTAL, id="again"),
    credit("C2", "copied", "-50 -9.5 -59.5", "R9"),
    invoice("R10", "partly", TOTAL),
    invoice("R11", "partly", TOTAL, billed_at=LATER),
    credit("C3", "partly", "-84.03 -15.97 -100", "R11"),
    invoice("R12", "wrong-split", TOTAL),
    invoice("R13", "wrong-split", TOTAL, billed_at=LATER, replaces="R12"),
    invoice("R14", "wrong-split", TOTAL, billed_at=LATER, replaces="R12"),
    credit("C4", "wrong-split", "-210 -39.9 -249.9", "R12"),
    invoice("R15", "circle", TOTAL, replaces="R16"),
    invoice("R16", "circle", TOTAL, replaces="R15"),
    credit("C5", "circle", "-10 -1.9 -11.9", "R15"),
    invoice("R17", "of-credit", TOTAL, replaces="C5X"),
    credit("C5X", "of-credit", "-10 -1.9 -11.9", "R17"),
]
CHARGES = [
    charge(number, account, "100")
    for number, account in (
        ("R1", "moved-from"), ("R3", "split"), ("R6", "unknown"), ("R7", "late-credit"), ("R9", "copied"), ("R10", "partly"),
        ("R12", "wrong-split"), ("R17", "of-credit"),
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def reissued(tmp_path_factory: pytest.TempPathFactory) -> Invoicing:
    """Return a project with all documents and charges, both feeds complete."""
    made = Invoicing(tmp_path_factory.mktemp("reissues"), "[invoice]\n")
    made.deliver(invoices=DOCUMENTS, charges=CHARGES)
    made.close("invoices", date(2026, 5, 15))
    made.close("charges", date(2026, 5, 15))
    return made


CASES = {
    # The charges stay with R1, so R2 has none.
    "moved-from": [],
    "moved-to": [
        ("lines_differ", "R2", None, "0.000000", "100.000000", "-100.000000", "EUR", "no_lines", 0),
        ("replaces_without_invoice", "R2", "R1", None, None, None, "EUR", "other_account", 1),
    ],
    # 60 + 40 = 100
    "split": [],
    "unknown": [("replaces_without_invoice", "R6", "R404", None, None, None, "EUR", "unknown_number", 1)],
    "late-credit": [],
    "copied": [
        ("repeated_invoice", "R9", "R9", "0.000000", "119.000000", "-119.000000", "EUR", "same_period", 1),
        ("repeated_number", "R9", None, None, None, None, "EUR", None, 1),
    ],
    # 119 - 100
    "partly": [("repeated_invoice", "R11", "R10", "0.000000", "19.000000", "-19.000000", "EUR", "same_period", 1)],
    # Two invoices of 100 for charges of 100; the credit exceeds both together: 249.9 - 2 × 119.
    "wrong-split": [
        ("credit_above_invoice", "R14", "C4", "-238.000000", "-249.900000", "11.900000", "EUR", None, 1),
        ("lines_differ", "R13", None, "100.000000", "200.000000", "-100.000000", "EUR", None, 1),
    ],
    "circle": [("credit_without_invoice", "C5", "R15", "0.000000", "-11.900000", "11.900000", "EUR", "none_standing", 1)],
    "of-credit": [("replaces_without_invoice", "R17", "C5X", None, None, None, "EUR", "other_kind", 1)],
}


def test_each_reissue_has_exactly_its_findings(reissued: Invoicing) -> None:
    found: dict[str, list[tuple[object, ...]]] = {account: [] for account in CASES}
    for account, *finding in reissued.findings():
        found[account].append(tuple(finding))
    assert found == CASES


def test_a_credit_lowers_one_record(reissued: Invoicing) -> None:
    left = reissued.ask(
        "SELECT account, list(remaining::VARCHAR ORDER BY number, remaining), sum(remaining)::VARCHAR FROM invoices "
        "WHERE kind = 'invoice' AND account IN ('copied', 'late-credit', 'partly') GROUP BY account ORDER BY account"
    )
    assert left == [
        ("copied", ["59.500000", "119.000000"], "178.500000"),
        ("late-credit", ["0.000000", "59.500000"], "59.500000"),
        ("partly", ["119.000000", "19.000000"], "138.000000"),
    ]


def test_a_charge_is_shown_at_one_invoice(reissued: Invoicing) -> None:
    shown = reissued.ask("SELECT number, charges, charged::VARCHAR, lines_of FROM invoices WHERE account = 'split' ORDER BY number")
    assert shown == [("R3", None, None, None), ("R4", 1, "100.000000", "R3"), ("R5", None, None, "R3")]


def test_charges_issued_again_under_a_part_of_a_split_take_the_place_of_the_former(tmp_path: Path) -> None:
    made = Invoicing(tmp_path, "[invoice]\n")
    made.deliver(
        invoices=[row for row in DOCUMENTS if row["account"] == "split"],
        charges=[charge("R3", "split", "100"), charge("R4", "split", "60")],
    )
    made.close("charges", date(2026, 5, 15))
    assert made.findings() == [
        ("split", "lines_differ", "R5", None, "0.000000", "40.000000", "-40.000000", "EUR", "no_lines", 0)
    ]  # fmt: skip
