"""The gate before a bill run: accounts to hold back, each amount by hand."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from tests.warehouse.invoices.invoicing import CHARGE, INVOICE, NOW, Invoicing, Row, charge, invoice, state

from trueup.cli.main import main
from trueup.errors import TrueupError
from trueup.investigation.bill_run import BillRun, check_bill_run
from trueup.warehouse.close import close

RULES = '[reconcile.voice]\nprice = "1"\ngrace = "36h"\n[invoice]\nthreshold = "5"\n'
MARCH = date(2026, 3, 1)


def used(account: str, units: str, day: str = "2026-03-10") -> Row:
    """Return usage of one call; a unit costs 1."""
    return {"session_key": f"call-{account}", "account": account, "subscriber": f"S-{account}", "service": "voice",
            "started_at": day, "quantity": units}  # fmt: skip


def rated(account: str, units: str, amount: str) -> Row:
    """Return the charge of that call."""
    return charge("", account, amount, quantity=units, session_key=f"call-{account}", subscriber=f"S-{account}")


@pytest.fixture
def month(tmp_path: Path) -> Invoicing:
    """Return a project with the usage of March and no charge of it; usage of April shows that March is complete."""
    made = Invoicing(tmp_path, RULES)
    made.deliver(
        states=[state("right"), state("=unbilled"), state("dear"), state("mid-month", cycle_day="15"), state("idle")],
        usage=[
            used("right", "3"), used("=unbilled", "10"), used("dear", "4"), used("mid-month", "7", "2026-03-20"),
            used("right", "1", "2026-04-20") | {"session_key": "april"}, used("unnamed", "2") | {"account": "", "subscriber": ""},
        ],
    )  # fmt: skip
    return made


def draft(made: Invoicing, name: str, columns: tuple[str, ...], rows: list[Row]) -> Path:
    """Write a draft outside of the folders that the project ingests."""
    path = made.project.directory / name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({"id": f"{name}-{number}"} | row for number, row in enumerate(rows))
    return path


def check(made: Invoicing, *drafts: tuple[str, Path], cycle: date = MARCH) -> BillRun:
    return check_bill_run(made.project, cycle, drafts, clock=lambda: NOW + timedelta(hours=1))


def holds(checked: BillRun) -> list[tuple[str | None, str | None, Decimal, Decimal, str]]:
    return [(h.account, h.currency, h.too_little, h.too_much, h.reasons) for h in checked.holds]


def test_accounts_of_a_draft_are_held_back_if_too_little_or_too_much_is_billed(month: Invoicing) -> None:
    positions = month.ask("SELECT count(*) FROM lake.events.position")
    charges = draft(month, "draft.csv", CHARGE, [rated("right", "3", "3"), rated("dear", "4", "6")])
    checked = check(month, ("charges", charges))
    assert holds(checked) == [
        ("=unbilled", "EUR", Decimal(10), Decimal(0), "unbilled 1"),
        (None, "EUR", Decimal(2), Decimal(0), "unknown_subscriber 1"),
        ("dear", "EUR", Decimal(0), Decimal(2), "misrated 1"),
    ]
    assert (checked.accounts, checked.money, checked.rejected, checked.incomplete) == (4, {"EUR": Decimal(14)}, 0, ())
    assert month.ask("SELECT count(*) FROM lake.events.position") == positions, "nothing is written into the log"
    # The other cycle: its period ends on 15 April.
    assert holds(check(month, ("charges", charges), cycle=date(2026, 3, 15))) == [
        ("mid-month", "EUR", Decimal(7), Decimal(0), "unbilled 1")
    ]


def test_the_day_on_which_the_next_cycle_begins_belongs_to_that_cycle(month: Invoicing) -> None:
    month.deliver(usage=[used("idle", "5", "2026-04-01"), used("right", "1", "2026-05-20") | {"session_key": "may"}])
    close(month.project, "charges", date(2026, 4, 30), clock=lambda: NOW)
    charges = draft(month, "draft.csv", CHARGE, [rated("right", "3", "3"), rated("dear", "4", "4"), rated("=unbilled", "10", "10")])
    assert [hold[0] for hold in holds(check(month, ("charges", charges)))] == [None]
    assert ("idle", "EUR", Decimal(5), Decimal(0), "unbilled 1") in holds(check(month, cycle=date(2026, 4, 1)))


def test_without_subscriptions_a_cycle_is_the_month_from_its_first_day(tmp_path: Path) -> None:
    made = Invoicing(tmp_path, RULES)
    made.deliver(usage=[used("a", "3", "2026-03-29"), used("a", "1", "2026-04-20") | {"session_key": "april"}])
    checked = check(made)
    assert (checked.accounts, holds(checked)) == (0, [("a", "EUR", Decimal(3), Decimal(0), "unbilled 1")])
    # Usage has come to the end of March, and not to the end of April.
    assert [len(check(made, cycle=date(2026, month, 1)).incomplete) for month in (3, 4)] == [0, 1]


def test_the_draft_of_a_cycle_that_is_not_over_is_checked(month: Invoicing) -> None:
    assert NOW.date() < date(2026, 5, 31)
    charges = draft(month, "draft.csv", CHARGE, [rated("right", "3", "3")])
    checked = check(month, ("charges", charges), cycle=date(2026, 5, 1))
    assert (checked.cycle, checked.incomplete) == (date(2026, 5, 1), ("usage",))


def test_a_cycle_at_the_end_of_the_calendar_is_refused(month: Invoicing) -> None:
    for cycle in (date(9999, 12, 31), date(9999, 12, 1), date(9999, 11, 30)):
        with pytest.raises(TrueupError, match=f"the cycle of {cycle} is at the end of the calendar .--cycle.; name an earlier day"):
            check(month, cycle=cycle)
    assert check(month, cycle=date.min).accounts == 0


def test_draft_invoices_are_checked_with_their_charges(month: Invoicing) -> None:
    lines = [
        rated("right", "3", "3") | {"invoice_id": "R1"}, rated("dear", "4", "4") | {"invoice_id": "R2"},
        rated("=unbilled", "10", "10"),
    ]  # fmt: skip
    charges = draft(month, "draft.csv", CHARGE, lines)
    documents = [invoice("R1", "right", "3 0 3"), invoice("R2", "dear", "5 0 5"), invoice("R3", "idle", "0 0 one")]
    invoices = draft(month, "invoices.csv", INVOICE, documents)
    checked = check(month, ("charges", charges), ("invoices", invoices))
    assert holds(checked) == [
        ("=unbilled", "EUR", Decimal(10), Decimal(0), "missing_invoice 1"),
        (None, "EUR", Decimal(2), Decimal(0), "unknown_subscriber 1"),
        ("dear", "EUR", Decimal(0), Decimal(1), "lines_differ 1"),
        ("idle", None, Decimal(0), Decimal(0), "missing_invoice 1"),
    ]
    assert [hold.unknown for hold in checked.holds] == [0, 0, 0, 1], "the money of an account without charges is not known"
    assert checked.rejected == 1 and checked.exceeds(Decimal(1_000_000)), "a record that could not be read fails the gate"


def rules_of_sums(period: str, more: str = "") -> str:
    return f'[reconcile.voice]\nprice = "1"\ngrace = "5d"\nmatch = ["aggregate"]\nperiod = "{period}"\n{more}'


@pytest.mark.parametrize(("period", "more"), [("month", ""), ("cycle", ""), ("month", 'period_zone = "subscriber"\n')])
def test_sums_of_a_cycle_are_checked_before_grace_is_over(tmp_path: Path, period: str, more: str) -> None:
    made = Invoicing(tmp_path, rules_of_sums(period, more))
    made.deliver(
        states=[state("dear"), state("none"), state("late", timezone="America/New_York")],
        usage=[
            used("dear", "4"), used("none", "10"), used("late", "5", "2026-03-31"),
            used("dear", "1", "2026-04-03") | {"session_key": "april"},
        ],
    )  # fmt: skip
    charges = draft(made, "draft.csv", CHARGE, [rated("dear", "4", "6")])
    checked = check(made, ("charges", charges))
    assert holds(checked) == [
        ("none", "EUR", Decimal(10), Decimal(0), "unbilled 1"),
        ("late", "EUR", Decimal(5), Decimal(0), "unbilled 1"),
        ("dear", "EUR", Decimal(0), Decimal(2), "misrated 1"),
    ]
    assert (checked.incomplete, checked.exceeds(Decimal(16))) == ((), True)
    # April is compared so far, but its usage is named as incomplete.
    april = check(made, cycle=date(2026, 4, 1))
    assert (holds(april), april.incomplete) == ([("dear", "EUR", Decimal(1), Decimal(0), "unbilled 1")], ("usage",))


def test_each_sum_counts_in_one_period_after_a_change_of_cycle(tmp_path: Path) -> None:
    made = Invoicing(tmp_path, rules_of_sums("cycle"))
    made.deliver(
        states=[state("x", cycle_day="1"), state("x", cycle_day="20", valid_from="2026-03-10"), state("y")],
        usage=[
            *(used("x", units, day) | {"session_key": day} for units, day in (("3", "2026-03-05"), ("7", "2026-03-12"), ("9", "2026-03-25"))),
            used("y", "1", "2026-05-10"),
        ],
    )  # fmt: skip
    cycles = ["2026-02-20", "2026-03-01", "2026-03-10", "2026-03-20"]
    found = {
        cycle: [hold.money for hold in check(made, cycle=date.fromisoformat(cycle)).holds if hold.account == "x"]
        for cycle in cycles
    }
    # The call of 12 March is in the whole cycle from 20 February, of which the account has the days from 10 March on.
    assert found == dict(zip(cycles, ([], [Decimal(3)], [Decimal(7)], [Decimal(9)]), strict=True))


def test_a_sum_that_a_cycle_cuts_counts_once_the_cycle_has_its_end(tmp_path: Path) -> None:
    made = Invoicing(tmp_path, rules_of_sums("week"))
    made.deliver(states=[state("a")], usage=[used("a", "2", "2026-03-30"), used("a", "1", "2026-04-03")])
    # The week ends on 5 April, so its sum is pending in the check of March.
    assert [holds(check(made, cycle=date(2026, month, 1))) for month in (3, 4)] == [
        [], [("a", "EUR", Decimal(3), Decimal(0), "unbilled 1")]
    ]  # fmt: skip


def test_the_command_fails_above_the_threshold_and_writes_a_safe_list(month: Invoicing, capsys: pytest.CaptureFixture[str]) -> None:
    directory = month.project.directory
    month.deliver(charges=[rated("right", "3", "3"), rated("dear", "4", "6")])
    common = ["bill-run", "check", "--cycle", "2026-03-01", "--project", str(directory)]
    assert main([*common, "--json", "--out", str(directory / "held.csv")]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["exceeds"] and shown["threshold"] == 5 and shown["money"] == {"EUR": 14.0}
    assert [(hold["account"], hold["money"]) for hold in shown["holds"]] == [("=unbilled", 10), (None, 2), ("dear", 2)]
    rows = list(csv.reader((directory / "held.csv").read_text("utf-8").splitlines()))
    assert rows[0] == ["account", "currency", "money", "too_little", "too_much", "findings", "provisional", "unknown", "reasons"]
    assert rows[1] == ["'=unbilled", "EUR", "10.000000", "10.000000", "0.000000", "1", "0", "0", "unbilled 1"]
    assert main([*common, "--threshold", "14"]) == 0
    text = capsys.readouterr().out
    assert "4 accounts in the cycle of 2026-03-01, 3 to hold back: 14 EUR; the threshold is 14" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["send", "--cycle", "2026-03-01"], "there is no action 'send'"),
        (["check", "--cycle", "March"], "invalid day 'March'"),
        (["check", "--cycle", "2026-03-01", "--draft", "charges"], "names no file of a source"),
        (["check", "--cycle", "2026-03-01", "--draft", "states=x.csv"], "'states' is no source of charges or invoices"),
        (["check", "--cycle", "2026-03-01", "--threshold", "much"], "invalid decimal number 'much'"),
        (["check", "--cycle", "2026-03-01", "--threshold", "-1"], "the threshold is negative"),
    ],
)
def test_an_order_that_cannot_be_meant_is_refused(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Invoicing(tmp_path, RULES)
    assert main(["bill-run", *arguments, "--project", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_a_draft_that_does_not_exist_or_is_known_is_refused(month: Invoicing) -> None:
    with pytest.raises(TrueupError, match="there is no such file"):
        check(month, ("charges", month.project.directory / "none.csv"))
