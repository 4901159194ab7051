"""Random invoices, charges and states: the views agree with a slow recomputation in fractions, for any order of arrival."""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path

import pytest
from tests.warehouse.invoices.invoicing import Invoicing, Row, charge, credit, invoice, state
from tests.warehouse.invoices.slow_checks import Books, Finding

PERIODS = [("2026-03-01", "2026-04-01"), ("2026-03-15", "2026-04-15"), ("2026-02-28", "2026-03-31"), ("2026-03-10", "2026-03-20"),
           ("2026-04-01", "2026-05-01")]  # fmt: skip


def states_of(rng: random.Random, account: str) -> list[Row]:
    days = sorted(rng.sample(range(140), rng.randint(1, 4)))
    cycle_days = rng.choice([["1"], ["15"], ["31"], ["1", "15"], ["", "29", "31"]])
    return [
        state(account, valid_from=str(date(2026, 1, 1) + timedelta(days=day)), cycle_day=rng.choice(cycle_days),
              status=rng.choice(["active", "active", "suspended", "ceased"]))
        for day in days
    ]  # fmt: skip


def amounts(rng: random.Random, sign: int = 1) -> str:
    net = rng.choice([0, 10000, 10001, 2502, 150]) * sign
    tax = sign * ((abs(net) * 19 + 50) // 100)
    wrong_tax, wrong_total = (sign * rng.choice([0, 0, 0, 1]) for _ in range(2))
    return f"{net / 100:.2f} {(tax + wrong_tax) / 100:.2f} {(net + tax + wrong_total) / 100:.2f}"


def books(seed: int, accounts: int) -> Books:
    """Return random books in which references, currencies and sums are often wrong."""
    rng = random.Random(seed)
    invoices: list[Row] = []
    charges: list[Row] = []
    states: list[Row] = []
    number = 0
    for account in (f"A{n}" for n in range(accounts)):
        states += states_of(rng, account)
        own: list[str] = []
        for _ in range(rng.randint(0, 4)):
            number += rng.choice([1, 1, 1, 2, 4])
            period_from, period_to = rng.choice(PERIODS)
            more = {"replaces": rng.choice(own[:2])} if own and rng.random() < 0.5 else {}
            if not more and number > 1 and rng.random() < 0.1:
                more = {"replaces": rng.choice(["R9999", "R1", "C1"])}
            made = invoice(
                f"R{number}", account, amounts(rng), period_from=period_from, period_to=period_to,
                billed_at=f"2026-05-{rng.randint(1, 9):02}", currency=rng.choice(["EUR", "EUR", "EUR", "USD"]), **more,
            )  # fmt: skip
            invoices.append(made)
            own.append(made["number"])
            # Charges of a reissued invoice mostly name the former number.
            for part in rng.sample([made["net"], "0.01"], rng.choice([0, 0, 0, 1]) if more else rng.randint(0, 2)):
                charges.append(charge(made["number"], account, part, currency=rng.choice([made["currency"]] * 3 + ["USD"])))
        for _ in range(rng.randint(0, 2)):
            number += 1
            refers_to = rng.choice([*own, *own, "", "R9999", "R1"])
            sums = next((f"-{i['net']} -{i['tax']} -{i['total']}" for i in invoices if i["number"] == refers_to), amounts(rng, -1))
            invoices.append(credit(f"C{number}", account, sums if rng.random() < 0.7 else amounts(rng, -1), refers_to))
        for _ in range(rng.randint(0, 3)):
            day = date(2026, 2, 20) + timedelta(days=rng.randint(0, 70))
            charges.append(charge(rng.choice(["", "", "R9999"]), account, f"{rng.randint(0, 900) / 100:.2f}", started_at=str(day)))
    return Books(invoices, charges, states)


def check(folder: Path, seed: int, accounts: int) -> None:
    made, drawn = Invoicing(folder), books(seed, accounts)
    rng = random.Random(seed)
    for rows in (drawn.documents, drawn.charges):
        rng.shuffle(rows)
    half = len(drawn.documents) // 2
    made.deliver(charges=drawn.charges, states=drawn.states, invoices=drawn.documents[:half])
    made.deliver(invoices=drawn.documents[half:])
    for source in ("charges", "invoices"):
        made.close(source, date(2026, 5, 15))
    found: list[Finding] = [
        tuple(r) for r in made.ask(
            "SELECT kind, number, other_number, account, expected::VARCHAR, billed::VARCHAR, impact::VARCHAR, currency, reason "
            "FROM invoice_findings WHERE NOT provisional"
        )
    ]  # fmt: skip
    assert made.ask("SELECT count(*) FROM quarantine") == [(0,)]
    expected = drawn.findings()
    assert sorted(set(found) - expected, key=str) == []
    assert sorted(expected - set(found), key=str) == []
    assert {str(f[0]) for f in expected} >= {"lines_differ", "missing_invoice", "uninvoiced_charge", "repeated_invoice"}
    remaining = {r[0]: r[1] for r in made.ask("SELECT number, remaining FROM invoices WHERE kind = 'invoice'")}
    assert remaining == {b["number"]: drawn.remaining(b) for b in drawn.bills}
    periods = set(made.ask("SELECT account, period_from, period_to, first_active_day FROM invoice_periods"))
    first_end = min(date.fromisoformat(b["period_to"]) for b in drawn.bills)
    assert periods == {
        (account, *period) for account in {s["account"] for s in drawn.states} for period in drawn.periods(account) if period[1] >= first_end
    }  # fmt: skip


def test_random_books_have_the_findings_of_the_slow_recomputation(tmp_path: Path) -> None:
    check(tmp_path, 1, 40)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 5))
def test_many_random_books_have_the_findings_of_the_slow_recomputation(seed: int, tmp_path: Path) -> None:
    check(tmp_path, seed, 80)
