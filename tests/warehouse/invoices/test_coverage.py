"""Accounts without an invoice of a period, and charges on no invoice: each case worked out by hand."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.warehouse.invoices.invoicing import RULES, Invoicing, charge, credit, invoice, state

MARCH, APRIL = "2026-03-01", "2026-04-01"
ZERO = "0 0 0"
STATES = [
    state("billed"), state("missing"), state("idle"), state("suspended", status="suspended"),
    state("ceased", valid_to="2026-03-10"), state("month-end", cycle_day="31"), state("prepaid", segment="prepaid"),
    state("moved", valid_to="2026-03-15"), state("moved", valid_from="2026-03-15", cycle_day="15"),
    state("", subscriber="S-alone"), state("late", valid_from="2026-03-20"),
    state("credited"), state("two-systems", system="network"), state("two-systems", status="ceased"),
    state("two-cycles"), state("two-cycles", subscriber="S-other"),
    state("two-cycles", subscriber="S-other", valid_from="2026-03-15", cycle_day="15"),
    state("arrears", cycle_day="15"), state("berlin", timezone="Europe/Berlin"),
    state("begun", timezone="Europe/Berlin", valid_from="2026-03-20"),
    state("returned"), state("returned", valid_from="2026-03-10", cycle_day="29"), state("returned", valid_from="2026-03-20"),
]  # fmt: skip
INVOICES = [
    invoice("R1", "billed", "25 4.75 29.75"), invoice("R2", "ceased", ZERO, period_to="2026-03-10"),
    invoice("R3", "moved", ZERO, period_to="2026-03-15"), invoice("R4", "late", ZERO, period_from="2026-03-20"),
    invoice("R5", "credited", "100 19 119"), credit("C1", "credited", "-100 -19 -119", "R5"),
]  # fmt: skip
CHARGES = [
    charge("R1", "billed", "25"), charge("", "billed", "5"), charge("R404", "billed", "7"), charge("R5", "credited", "100"),
    charge("", "missing", "12.5"), charge("", "missing", "7.5"), charge("", "missing", "3", currency="USD"),
    charge("", "", "1.25", subscriber="S-billed"), charge("", "", "0.75"), charge("", "prepaid", "9", subscriber="S-prepaid"),
    charge("", "missing", "2", started_at="2026-04-10"), charge("", "missing", "0"), charge("", "two-cycles", "4"),
    charge("", "arrears", "9", subscriber="S-arrears", item="router", period_from=MARCH, period_to=APRIL, billed_at="2026-04-02"),
    charge("", "arrears", "5", subscriber="S-arrears", item="line", period_from="2026-03-15", period_to="2026-04-15", billed_at="2026-03-15"),
    charge("", "berlin", "2", subscriber="S-berlin", started_at="2026-02-28T23:30:00"),
    charge("", "berlin", "4", subscriber="S-berlin", started_at="2026-03-31T21:30:00"),
    charge("", "begun", "3", subscriber="S-begun", item="line", period_from="2026-02-28T23:00:00", billed_at="2026-03-21"),
    charge("", "berlin", "8", subscriber="S-berlin", started_at="2026-03-31T22:30:00"),
]  # fmt: skip


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Invoicing:
    """Return a project whose invoices are complete up to the end of April: periods that ended by 21 April are due."""
    made = Invoicing(tmp_path_factory.mktemp("accounts"))
    made.deliver(states=STATES, invoices=INVOICES, charges=CHARGES)
    made.close("charges", date(2026, 4, 30))
    made.close("invoices", date(2026, 4, 30))
    return made


Found = dict[tuple[str, str | None], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def found(accounts: Invoicing) -> Found:
    """Return period, money, currency, reason, number and charges of the findings by kind and account."""
    rows: Found = {}
    query = (
        "SELECT kind, account, period_from::VARCHAR, period_to::VARCHAR, impact::VARCHAR, currency, reason, number, records "
        "FROM invoice_findings ORDER BY ALL"
    )
    for kind, account, *row in accounts.ask(query):
        rows.setdefault((kind, account), []).append(tuple(row))
    return rows


def test_a_missing_invoice_is_worth_the_charges_that_are_on_none(found: Found) -> None:
    assert found["missing_invoice", "missing"] == [
        (MARCH, APRIL, "20.000000", "EUR", "charges_known", None, 2),
        (MARCH, APRIL, "3.000000", "USD", "charges_known", None, 1),
    ]
    assert ("uninvoiced_charge", "missing") not in found, "its money counts once"


def test_without_charges_the_money_of_a_missing_invoice_is_unknown_and_not_zero(found: Found) -> None:
    assert found["missing_invoice", "idle"] == [(MARCH, APRIL, None, None, "no_charges", None, 0)]


def test_a_cycle_on_the_31st_begins_on_the_last_day_of_a_shorter_month(found: Found) -> None:
    assert [row[:2] for row in found["missing_invoice", "month-end"]] == [("2026-02-28", "2026-03-31")]


def test_a_subscription_without_account_is_an_account_of_its_own(found: Found) -> None:
    assert [row[:2] for row in found["missing_invoice", "S-alone"]] == [(MARCH, APRIL)]


@pytest.mark.parametrize("account", ["billed", "suspended", "ceased", "prepaid", "late", "credited", "two-systems"])
def test_no_invoice_is_missing_of(found: Found, account: str) -> None:
    assert ("missing_invoice", account) not in found


def test_a_change_of_cycle_divides_the_month(accounts: Invoicing) -> None:
    assert accounts.ask("SELECT period_from::VARCHAR, period_to::VARCHAR, invoice, status FROM invoice_periods WHERE account = 'moved'") == [
        (MARCH, "2026-03-15", "R3", "invoiced"), ("2026-03-15", "2026-04-15", None, "missing"), ("2026-04-15", "2026-05-15", None, "pending"),
    ]  # fmt: skip


def test_a_change_of_cycle_and_back_within_a_month_makes_three_periods(accounts: Invoicing) -> None:
    periods = accounts.ask(
        "SELECT period_from::VARCHAR, period_to::VARCHAR FROM invoice_periods WHERE account = 'returned' ORDER BY ALL"
    )
    assert periods[:3] == [(MARCH, "2026-03-10"), ("2026-03-10", "2026-03-20"), ("2026-03-20", APRIL)]


def test_a_charge_of_an_account_with_two_cycles_counts_once(found: Found) -> None:
    assert [row[:3] for row in found["missing_invoice", "two-cycles"]] == [
        (MARCH, "2026-03-15", None), (MARCH, APRIL, "4.000000"), ("2026-03-15", "2026-04-15", None),
    ]  # fmt: skip


def test_charges_on_no_invoice_are_of_their_account_and_period(found: Found) -> None:
    assert found["uninvoiced_charge", "billed"] == [
        (MARCH, APRIL, "6.250000", "EUR", "no_number", None, 2),
        (MARCH, APRIL, "7.000000", "EUR", "unknown_number", "R404", 1),
    ]


def test_a_charge_in_arrears_is_of_the_period_with_its_last_day(found: Found) -> None:
    # On 2 April the invoice of February and March was long issued: a charge of March cannot be on it.
    assert [row[:3] for row in found["missing_invoice", "arrears"]] == [
        ("2026-02-15", "2026-03-15", None), ("2026-03-15", "2026-04-15", "14.000000"),
    ]  # fmt: skip


def test_the_day_of_a_charge_is_that_of_the_zone_of_its_subscription(found: Found) -> None:
    # At half past eleven of 28 February in London it is March in Berlin; the clock of summer is two hours ahead.
    assert [row[:3] for row in found["missing_invoice", "berlin"]] == [(MARCH, APRIL, "6.000000")]


def test_a_charge_of_a_period_that_began_before_its_subscription_is_of_that_period(found: Found) -> None:
    assert [row[:3] for row in found["missing_invoice", "begun"]] == [(MARCH, APRIL, "3.000000")]
    assert ("uninvoiced_charge", "begun") not in found


def test_a_charge_without_an_account_is_of_its_calendar_month(found: Found) -> None:
    assert found["uninvoiced_charge", None] == [(MARCH, APRIL, "0.750000", "EUR", "no_number", None, 1)]


def test_a_charge_of_a_segment_without_invoices_is_on_none(found: Found) -> None:
    assert ("uninvoiced_charge", "prepaid") not in found


def test_nothing_is_missing_before_its_due_position(accounts: Invoicing) -> None:
    before = str(accounts.ask("SELECT max(position) FROM lake.events.position")[0][0] - 1)
    assert accounts.ask("SELECT kind FROM invoice_findings WHERE account = 'missing'", before) == []
    # The feed has come to 5 April: the last invoice of it.
    assert accounts.ask("SELECT DISTINCT status FROM invoice_periods WHERE account = 'missing'", before) == [("pending",)]


def test_a_reissued_invoice_bills_the_period_and_a_rejected_one_makes_it_provisional(tmp_path: Path) -> None:
    made = Invoicing(tmp_path)
    made.deliver(
        states=[state("a"), state("b")],
        invoices=[invoice("R1", "a", ZERO), invoice("R2", "a", ZERO, replaces="R1"), invoice("R3", "b", "1 0.19 x")],
    )
    made.close("invoices", date(2026, 4, 30))
    query = "SELECT kind, account, provisional_reason FROM invoice_findings WHERE kind = 'missing_invoice'"
    assert made.ask(query) == [("missing_invoice", "b", "quarantined record")]
    made.deliver(invoices=[invoice("R3", "b", "1 0.19 1.19")])
    assert made.ask(query) == []


def test_without_invoices_nothing_is_found(tmp_path: Path) -> None:
    made = Invoicing(tmp_path, RULES)
    made.deliver(states=[state("a")], charges=[charge("", "a", "5"), charge("R1", "a", "5")])
    assert made.findings() == []
