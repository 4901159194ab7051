"""Recovery of money: a back-bill of findings, delivered as charges, recovers them and changes nothing else."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trueup.cli import main
from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project
from trueup.errors import TrueupError
from trueup.reconcile.run import reconcile_little
from trueup.warehouse.audit import audit
from trueup.warehouse.query import open_warehouse
from trueup.warehouse.recover import DEFAULT_TEMPLATE, FIELDS, BackBillTemplate, Selection, back_bill_rows, write_back_bill

NOW = datetime(2024, 3, 5, tzinfo=UTC)
TOML = """
[project]
timezone = "UTC"
currency = "EUR"
[lake]
buckets = 4
[[source]]
name = "switch"
stream = "usage"
path = "switch/*.csv"
columns = { record_key = "id", session_key = "call", service = "service", subscriber = "caller", started_at = "at", quantity = "units" }
[[source]]
name = "billing"
stream = "charge"
path = "billing/*.csv"
[source.columns]
record_key = "id"
session_key = "call"
service = "service"
subscriber = "caller"
started_at = "at"
quantity = { column = "units", optional = true }
amount = "amount"
corrects = { column = "corrects", optional = true }
[reconcile.voice]
price = "1"
grace = "1h"
[reconcile.near]
match = ["nearest"]
start_tolerance = "5s"
quantity_tolerance = "1"
price = "1"
grace = "1h"
[reconcile.data]
match = ["aggregate"]
period = "1h"
price = "1"
grace = "1h"
"""
USAGE = """id,call,service,caller,at,units
u1,k1,voice,A1,2024-03-01 10:00:00,10
u2,k2,voice,A2,2024-03-01 10:00:00,10
u3,k3,voice,A3,2024-03-01 10:00:00,10
u4,k4,voice,A4,2024-03-01 10:00:00,10
u5,,near,A5,2024-03-01 10:00:00,10
u6,,data,A6,2024-03-01 10:10:00,10
u7,,data,A6,2024-03-01 10:20:00,5
u9,k9,voice,A9,2024-03-01 23:00:00,1
u10,,near,A9,2024-03-01 23:00:00,1
u11,,data,A9,2024-03-01 23:00:00,1
"""
CHARGES = """id,call,service,caller,at,units,amount
c2,k2,voice,A2,2024-03-01 10:00:00,6,6
c3,k3,voice,A3,2024-03-01 10:00:00,10,7
c4,k4,voice,A4,2024-03-01 10:00:00,10,10
d4,k4,voice,A4,2024-03-01 10:00:01,10,10
c5,,near,A5,2024-03-01 10:00:01,10,8
c9,k9,voice,A9,2024-03-01 23:00:00,1,1
c10,,near,A9,2024-03-01 23:00:00,1,1
c11,,data,A9,2024-03-01 23:00:00,1,1
"""
BACK_BILL = (
    "id,call,service,caller,at,amount,corrects\n{line},{session_key},{service},{subscriber},{started_at},{amount},{finding_id}\n"
)
Rows = list[dict[str, Any]]


class Operator:
    """A project in a folder, whose files are delivered step by step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def project(self) -> Project:
        return Project.load(self.folder)

    def deliver(self, name: str, text: str) -> None:
        """Write a file, ingest it and reconcile."""
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(text, "utf-8")
        assert not ingest(self.project, clock=lambda: NOW, choose=lambda *_: True).errors
        reconcile_little(self.project, clock=lambda: NOW)

    def ask(self, query: str) -> Rows:
        """Return the rows of a query."""
        with open_warehouse(self.project) as warehouse:
            return list(warehouse.connection.execute(query).to_arrow_table().to_pylist())

    def back_bill(self, selection: Selection | None = None) -> str:
        """Return a back-bill in the form of billing's files."""
        with open_warehouse(self.project) as warehouse:
            return BackBillTemplate.of(BACK_BILL, where="t").write(back_bill_rows(warehouse, selection or Selection()))

    def statuses(self) -> dict[tuple[str, str], tuple[str, Decimal]]:
        """Return status and impact of each finding, by subscriber and kind."""
        rows = self.ask("SELECT subscriber, kind, status, impact FROM findings ORDER BY ALL")
        return {(row["subscriber"], row["kind"]): (row["status"], row["impact"]) for row in rows}


@pytest.fixture(scope="module")
def reconciled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an operator with leakage of each way to match."""
    folder = tmp_path_factory.mktemp("operator")
    (folder / FILE_NAME).write_text(TOML, "utf-8")
    Operator(folder).deliver("switch/a.csv", USAGE)
    Operator(folder).deliver("billing/a.csv", CHARGES)
    return folder


@pytest.fixture
def operator(reconciled: Path, tmp_path: Path) -> Operator:
    """Return that operator for one test."""
    shutil.copytree(reconciled, tmp_path / "operator")
    return Operator(tmp_path / "operator")


OPEN = {
    ("A1", "unbilled"): ("open", Decimal(10)), ("A2", "underbilled"): ("open", Decimal(4)), ("A3", "misrated"): ("open", Decimal(3)),
    ("A4", "duplicate_charge"): ("open", Decimal(-10)), ("A5", "misrated"): ("open", Decimal(2)),
    ("A6", "unbilled"): ("open", Decimal(15)),
}  # fmt: skip


def test_a_back_bill_of_all_leakage_recovers_it_and_moves_nothing_else(operator: Operator) -> None:
    assert operator.statuses() == OPEN
    before = operator.ask("SELECT expected_micros, billed_micros FROM conservation ORDER BY service, day")
    operator.deliver("billing/back.csv", operator.back_bill())
    after = operator.statuses()
    assert after == {key: (("recovered" if impact > 0 else "open"), impact) for key, (_, impact) in OPEN.items()}
    assert operator.ask("SELECT count(*) AS n FROM findings") == [{"n": len(OPEN)}]
    now = operator.ask("SELECT expected_micros, billed_micros, difference_micros FROM conservation ORDER BY service, day")
    assert [row["expected_micros"] for row in now] == [row["expected_micros"] for row in before]
    assert sum(row["billed_micros"] for row in now) - sum(row["billed_micros"] for row in before) == 34_000_000
    assert {row["difference_micros"] for row in now} == {0}
    recovered = operator.ask("SELECT sum(recovered) AS recovered, count(*) AS n, bool_or(is_partial) AS partial FROM recoveries")
    assert recovered == [{"recovered": Decimal(34), "n": 5, "partial": False}]
    with open_warehouse(operator.project) as warehouse:
        assert [result for result in audit(warehouse) if not result.passed] == []


def test_credits_return_double_charges(operator: Operator) -> None:
    operator.deliver("billing/credit.csv", operator.back_bill(Selection(credits=True)))
    assert operator.statuses() == OPEN | {("A4", "duplicate_charge"): ("recovered", Decimal(-10))}


def test_a_part_of_the_money_leaves_the_rest_of_the_finding_open(operator: Operator) -> None:
    lines = operator.back_bill(Selection(kinds=("unbilled",), service="voice")).replace(",10,", ",4,")
    operator.deliver("billing/back.csv", lines)
    assert operator.statuses() == OPEN | {("A1", "unbilled"): ("open", Decimal(6))}
    assert operator.ask("SELECT is_partial, impact_before, impact_after, recovered FROM recoveries") == [
        {"is_partial": True, "impact_before": Decimal(10), "impact_after": Decimal(6), "recovered": Decimal(4)}
    ]
    operator.deliver("billing/rest.csv", operator.back_bill(Selection(kinds=("unbilled",), service="voice")))
    assert operator.statuses()["A1", "unbilled"] == ("recovered", Decimal(6))
    assert operator.ask("SELECT sum(recovered) AS r FROM recoveries") == [{"r": Decimal(10)}]


def test_a_back_bill_beyond_the_missing_money_is_an_overcharge(operator: Operator) -> None:
    lines = operator.back_bill(Selection(kinds=("unbilled",), service="voice")).replace(",10,", ",13,")
    operator.deliver("billing/back.csv", lines)
    after = operator.statuses()
    assert (after["A1", "unbilled"], after["A1", "overbilled"]) == (("recovered", Decimal(10)), ("open", Decimal(-3)))


def test_a_back_bill_that_is_delivered_twice_counts_once(operator: Operator) -> None:
    lines = operator.back_bill()
    operator.deliver("billing/back.csv", lines)
    once = operator.statuses()
    operator.deliver("billing/again.csv", lines + "\n")
    assert operator.statuses() == once
    assert operator.back_bill() == BACK_BILL.split("\n", 1)[0] + "\n"


HEAD = "id,call,service,caller,at,amount,corrects\n"


def test_a_charge_may_name_the_record_that_it_corrects(operator: Operator) -> None:
    lines = "x1,,voice,A1,2024-03-02 10:00:00,10,u1\nx2,other,voice,A2,2024-03-02 10:00:00,4,c2\n"
    operator.deliver("billing/back.csv", HEAD + lines)
    assert operator.statuses() == OPEN | {
        ("A1", "unbilled"): ("recovered", Decimal(10)), ("A2", "underbilled"): ("recovered", Decimal(4)),
    }  # fmt: skip


def test_a_charge_that_corrects_nothing_known_is_a_charge_without_usage(operator: Operator) -> None:
    unknown_record = "x1,,voice,A1,2024-03-01 10:00:00,10,unknown\n"
    record_of_another_subscriber = "x2,,voice,A7,2024-03-01 10:00:00,10,u1\n"
    unknown_finding = f"x3,,voice,A2,2024-03-01 10:00:00,10,{'0' * 32}\n"
    operator.deliver("billing/back.csv", HEAD + unknown_record + record_of_another_subscriber + unknown_finding)
    nothing = {(subscriber, "charge_without_usage"): ("open", Decimal(-10)) for subscriber in ("A1", "A2", "A7")}
    assert operator.statuses() == OPEN | nothing


def test_the_money_of_a_recovery_moves_in_the_ledger(operator: Operator) -> None:
    operator.deliver("billing/back.csv", operator.back_bill(Selection(kinds=("unbilled",), service="voice")).replace(",10,", ",4,"))
    balances = operator.ask(
        "SELECT account, sum(amount) AS amount FROM money_ledger WHERE kind = 'unbilled' AND service = 'voice' GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row.values()) for row in balances] == [
        ("assessed", Decimal(-10)), ("detected", Decimal(6)), ("recovered", Decimal(4)),
    ]  # fmt: skip


def test_the_command_writes_a_line_for_each_finding_once(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    out = operator.folder / "back.csv"
    command = ["recover", "--kind", "unbilled", "--out", str(out), "--project", str(operator.folder)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"wrote 2 lines to {out}: 25 EUR\n"
    lines = out.read_text("utf-8").splitlines()
    assert lines[0] == DEFAULT_TEMPLATE.splitlines()[0]
    assert sorted(line.split(",")[2] + " " + line.split(",")[9] for line in lines[1:]) == ["unbilled 10", "unbilled 15"]
    assert main(command) == 2
    assert "the file exists already" in capsys.readouterr().err
    assert sorted(path.name for path in operator.folder.glob("*back*")) == ["back.csv"]
    assert main([*command[:4], str(operator.folder / "missing" / "back.csv"), *command[5:]]) == 2
    assert "the file cannot be written: No such file or directory" in capsys.readouterr().err
    assert main(["recover", "--kind", "missing_records", "--out", "x.csv", "--project", str(operator.folder)]) == 2
    assert "has no proven money" in capsys.readouterr().err


def test_findings_without_a_record_are_left_out_and_counted(tmp_path: Path) -> None:
    row = {"finding_id": "f", "currency": "EUR", "amount": "2.5", "record_key": "u"}
    template = BackBillTemplate.of("id,amount\n{finding_id},{amount}\n", where="t")
    rows = [dict.fromkeys(FIELDS) | row, dict.fromkeys(FIELDS) | row | {"record_key": None}]
    done = write_back_bill(rows, template, tmp_path / "b.csv")
    assert (done.lines, done.left_out, done.sums) == (1, 1, {"EUR": Decimal("2.5")})
    assert (tmp_path / "b.csv").read_text("utf-8") == "id,amount\nf,2.5\n"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "the template is empty"),
        ("a\n{finding_id}\n", "must have {amount}"),
        ("a,b\n{amount},{who}\n", "names {who}"),
        ("a,b\n{amount},{finding_id.real}\n", "names {finding_id.real}"),
        ("a,b\n{amount:>9},{finding_id}\n", "formats {amount:>9}"),
        ("a,b\n{amount},{finding_id\n", "is no template"),
    ],
)
def test_a_template_that_cannot_be_meant_is_refused(template: str, message: str) -> None:
    with pytest.raises(TrueupError) as raised:
        BackBillTemplate.of(template, where="t.csv")
    assert message in str(raised.value)


def test_a_template_sets_delimiter_head_and_the_form_of_times() -> None:
    form = BackBillTemplate.of(
        "title\nid;day;amount\n{finding_id};{started_at:%d.%m.%Y};{amount}\n".replace("title\n", "ti;tle\n"), where="t"
    )
    row = dict.fromkeys(
        ("line", "kind", "service", "day", "currency", "record_key", "session_key", "account", "subscriber", "peer")
    )
    text = form.write([row | {"finding_id": "f1", "started_at": datetime(2024, 3, 1, 9), "amount": "1.5"}])
    assert text == "ti;tle\nid;day;amount\nf1;01.03.2024;1.5\n"


BILLING = (
    "line_id,session_ref,account,service,msisdn,called_number,started_utc,quantity,partial,amount,currency,tariff,invoice,billed_utc,"
    "corrects\n{line},{session_key},{account},{service},{subscriber},{peer},{started_at:%Y-%m-%dT%H:%M:%S},,,{amount},{currency},,,,"
    "{finding_id}\n"
)


@pytest.mark.slow
def test_all_leakage_of_a_simulated_operator_is_recovered_and_nothing_else_moves(tmp_path: Path) -> None:
    folder = tmp_path / "operator"
    assert (
        main(
            ["simulate", str(folder), "--subscribers", "60", "--days", "4", "--seed", "5", "--profile", "small", "--format", "csv"]
        )
        == 0
    )
    settings = (folder / FILE_NAME).read_text("utf-8")
    (folder / FILE_NAME).write_text(
        settings.replace(
            'billed_at = "billed_utc"', 'billed_at = "billed_utc"\ncorrects = { column = "corrects", optional = true }'
        ),
        "utf-8",
    )
    (folder / "template.csv").write_text(BILLING, "utf-8")
    for command in ("ingest", "reconcile"):
        assert main([command, "--project", str(folder)]) == 0
    operator = Operator(folder)
    state = "SELECT finding_id, status, impact_micros, cause FROM findings WHERE control IS NULL ORDER BY ALL"
    before = {row["finding_id"]: row for row in operator.ask(state)}
    out = folder / "landing/billing/back-bill.csv"
    assert main(["recover", "--out", str(out), "--template", str(folder / "template.csv"), "--project", str(folder)]) == 0
    billed = {line.rpartition(",")[2] for line in out.read_text("utf-8").splitlines()[1:]}
    for command in ("ingest", "reconcile"):
        assert main([command, "--project", str(folder)]) == 0
    after = {row["finding_id"]: row for row in operator.ask(state)}
    recovered = {"status": "recovered", "cause": "recovery"}
    assert len(billed) > 30
    assert after == {name: row | recovered if name in billed else row for name, row in before.items()}
    assert operator.ask("SELECT sum(abs(difference_micros)) AS difference FROM conservation") == [{"difference": 0}]
