"""Recovery of rentals and fees: a back-bill of their findings, delivered as charges, recovers them and changes nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project
from trueup.reconcile.run import reconcile_little
from trueup.warehouse.audit import audit
from trueup.warehouse.close import close
from trueup.warehouse.query import open_warehouse
from trueup.warehouse.recover import BackBillTemplate, Selection, back_bill_rows, write_back_bill

NOW = datetime(2026, 4, 21, tzinfo=UTC)
TOML = """
[lake]
buckets = 4
[project]
timezone = "Europe/Berlin"
[[source]]
name = "crm"
stream = "subscriber"
path = "crm.csv"
identity = "content"
timezone = "Europe/Berlin"
columns = { subscriber = "msisdn", plan = "plan", status = "status", valid_from = "from", valid_to = "to", cycle_day = "cycle" }
constants = { system = "billing" }
[[source]]
name = "book"
stream = "tariff"
path = "book.csv"
identity = "content"
timezone = "Europe/Berlin"
[[source]]
name = "rentals"
stream = "charge"
path = "bill*.csv"
frontier = "declared"
timezone = "Europe/Berlin"
constants = { service = "rental", currency = "EUR" }
[source.columns]
record_key = "id"
subscriber = "msisdn"
amount = "amount"
item = "item"
period_from = "from"
period_to = { column = "to", optional = true }
corrects = { column = "corrects", optional = true }
"""
CRM = """msisdn,plan,status,from,to,cycle
491,A,active,2025-06-01T00:00:00,,
492,A,active,2025-06-01T00:00:00,,
493,A,active,2026-03-10T00:00:00,,
494,A,active,2025-06-01T00:00:00,,
495,A,active,2025-06-01T00:00:00,2026-02-11T00:00:00,
496,A,active,2025-06-01T00:00:00,2026-03-12T00:00:00,15
496,A,active,2026-03-12T00:00:00,,31
"""
BOOK = """item,name,plan,service,valid_from,currency,price,event,period
recurring,line,A,rental,2025-01-01T00:00:00,EUR,31,,cycle
one_off,fee,,rental,2025-01-01T00:00:00,EUR,20,activation,
"""
HEAD = "id,msisdn,amount,item,from,to,corrects\n"
MARCH = "2026-03-01T00:00:00,2026-04-01T00:00:00"
BILL = f"""{HEAD}b1,492,25,line,{MARCH},
b2,493,22,line,{MARCH},
b3,494,31,line,{MARCH},
b4,494,31,line,{MARCH},
b5,495,31,line,{MARCH},
b6,496,28,line,2026-03-01T00:00:00,2026-03-12T00:00:00,
"""
FORM = HEAD + "{line},{subscriber},{amount},{item},{period_from:%Y-%m-%dT%H:%M:%S},{period_to},{finding_id}\n"
OPEN = {
    ("491", "unbilled"): 31, ("492", "misrated"): 6, ("493", "unbilled"): 20, ("494", "duplicate_charge"): -31,
    ("495", "charge_without_usage"): -31, ("496", "misrated"): -0.321429, ("496", "unbilled"): 19,
}  # fmt: skip


class Operator:
    """A project in a folder, whose files are delivered step by step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / FILE_NAME).write_text(TOML, "utf-8")

    @property
    def project(self) -> Project:
        return Project.load(self.folder)

    def deliver(self, **texts: str) -> None:
        """Write files, ingest them and reconcile."""
        for name, text in texts.items():
            (self.folder / f"{name}.csv").write_text(text, "utf-8")
        assert not ingest(self.project, clock=lambda: NOW, choose=lambda *_: True).errors
        reconcile_little(self.project, clock=lambda: NOW)

    def ask(self, query: str) -> list[dict[str, Any]]:
        with open_warehouse(self.project) as warehouse:
            return list(warehouse.connection.execute(query).to_arrow_table().to_pylist())

    def back_bill(self, selection: Selection | None = None) -> str:
        with open_warehouse(self.project) as warehouse:
            return BackBillTemplate.of(FORM, where="t").write(back_bill_rows(warehouse, selection or Selection()))

    def statuses(self) -> dict[tuple[str, str], tuple[str, float]]:
        rows = self.ask("SELECT subscriber, kind, status, impact FROM findings ORDER BY ALL")
        return {(row["subscriber"], row["kind"]): (row["status"], float(row["impact"])) for row in rows}


def opened(*recovered: tuple[str, str]) -> dict[tuple[str, str], tuple[str, float]]:
    return {key: ("recovered" if key in recovered else "open", impact) for key, impact in OPEN.items()}


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """Return an operator with a March bill: one rental missing, one short, a fee missing, one twice, one after cessation."""
    operator = Operator(tmp_path)
    operator.deliver(crm=CRM, book=BOOK, bill=BILL)
    close(operator.project, "rentals", date(2026, 3, 25), clock=lambda: NOW)
    reconcile_little(operator.project, clock=lambda: NOW)
    assert operator.statuses() == opened()
    return operator


def assert_whole(operator: Operator) -> None:
    assert operator.ask("SELECT sum(abs(difference_micros)) AS difference FROM conservation") == [{"difference": 0}]
    with open_warehouse(operator.project) as warehouse:
        assert all(done.passed for done in audit(warehouse))


def test_a_back_bill_of_items_recovers_them_and_moves_nothing_else(operator: Operator) -> None:
    lines = operator.back_bill()
    assert [line.split(",")[1:6] for line in sorted(lines.splitlines()[1:], key=lambda line: line.split(",")[1:2])] == [
        ["491", "31", "line", "2026-03-01T00:00:00", "2026-04-01 00:00:00"],
        ["492", "6", "line", "2026-03-01T00:00:00", "2026-04-01 00:00:00"],
        ["493", "20", "fee", "2026-03-10T00:00:00", ""],
        # The cycle changed on the 12th, so the next period has 19 of its 31 days.
        ["496", "19", "line", "2026-03-12T00:00:00", "2026-03-31 00:00:00"],
    ]
    operator.deliver(bill_2=lines)
    leaks = [key for key, impact in OPEN.items() if impact > 0]
    assert operator.statuses() == opened(*leaks)
    assert {row["cause"] for row in operator.ask("SELECT cause FROM findings WHERE status = 'recovered'")} == {"recovery"}
    assert operator.back_bill() == HEAD
    assert_whole(operator)


def test_a_credit_of_items_returns_the_overcharge(operator: Operator) -> None:
    operator.deliver(bill_2=operator.back_bill(Selection(credits=True)))
    assert operator.statuses() == opened(*(key for key, impact in OPEN.items() if impact < 0))
    assert operator.ask("SELECT sum(recovered) AS recovered FROM recoveries") == [{"recovered": Decimal("-62.321429")}]
    assert_whole(operator)


def test_a_part_of_a_rental_leaves_the_rest_unbilled(operator: Operator) -> None:
    operator.deliver(bill_2=operator.back_bill(Selection(kinds=("unbilled",))).replace(",31,line", ",11,line"))
    assert operator.statuses()["491", "unbilled"] == ("open", 20)
    rows = operator.ask("SELECT subscriber, is_partial, impact_after FROM recoveries WHERE subscriber = '491'")
    assert rows == [{"subscriber": "491", "is_partial": True, "impact_after": Decimal(20)}]
    operator.deliver(bill_3=operator.back_bill(Selection(kinds=("unbilled",))))
    assert operator.statuses()["491", "unbilled"] == ("recovered", 20)


def test_more_than_is_missing_is_an_overcharge(operator: Operator) -> None:
    operator.deliver(bill_2=operator.back_bill(Selection(kinds=("unbilled",))).replace(",31,line", ",41,line"))
    assert operator.statuses()["491", "misrated"] == ("open", -10)
    assert operator.statuses()["491", "unbilled"][0] == "recovered"


def test_a_credit_may_name_the_charge_and_arrive_before_it(operator: Operator) -> None:
    april = "2026-04-01T00:00:00,2026-05-01T00:00:00"
    operator.deliver(bill_2=f"{HEAD}x1,495,-7,other,{april},late\n")
    operator.deliver(bill_3=f"{HEAD}late,495,7,line,{april},\n")
    close(operator.project, "rentals", date(2026, 4, 20), clock=lambda: NOW)
    reconcile_little(operator.project, clock=lambda: NOW)
    assert [key for key in operator.statuses() if key[0] == "495"] == [("495", "charge_without_usage")]
    assert operator.statuses()["495", "charge_without_usage"] == ("open", -31)
    assert_whole(operator)


def test_a_template_without_the_item_leaves_findings_of_items_out(operator: Operator, tmp_path: Path) -> None:
    form = BackBillTemplate.of("id,amount\n{finding_id},{amount}\n", where="t")
    with open_warehouse(operator.project) as warehouse:
        done = write_back_bill(back_bill_rows(warehouse, Selection()), form, tmp_path / "out.csv")
    assert (done.lines, done.left_out) == (0, 4)
