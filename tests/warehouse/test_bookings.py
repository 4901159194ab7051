"""The money that findings of one booking show: the whole expected and billed money, and the impact of each finding."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import lake_fixture
from random_allowance_logs import moment, rate
from random_logs import MICRO, service
from reference_model.log import Close, Log, Record, Tariff

from trueup.config import Project
from trueup.policies.policy import Policy, SourceRules
from trueup.warehouse.audit import audit
from trueup.warehouse.explain import FindingExplanation, explain
from trueup.warehouse.query import open_warehouse

START, LATER = "2024-05-01 10:00", "2024-05-09 10:00"
MONEY_AUDITS = ("finding_arithmetic", "ledger_impact", "conservation")
VOICE = service(("session_key",), grace=3_600 * MICRO, price=None)


def policy(**rules: Any) -> Policy:
    voice = VOICE.model_copy(update=rules)
    return Policy(0, {"voice": voice}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})


def usage(seconds: int) -> Record:
    return Record(False, "n", "u1", "K1", started_us=moment(START), quantity_micros=seconds * MICRO)


def charge(key: str, seconds: int, euros: int) -> Record:
    return Record(True, "b", key, "K1", started_us=moment(START), quantity_micros=seconds * MICRO, amount_micros=euros * MICRO)


def reconciled(folder: Path, *commits: list[Any], rules: Policy | None = None) -> Project:
    """Return a project with a reconciled lake in which a second of voice costs 1 EUR."""
    log: Log = [[rules or policy()], [Tariff((rate("voice", MICRO),))], *commits]
    log += [[Close(source, moment(LATER))] for source in ("n", "b")]
    with lake_fixture.lake_of(folder, *lake_fixture.with_event_ids_of_lake(log, "subscriber"), "subscriber") as lake:
        lake_fixture.reconcile(lake, len(log), 1)
        return lake.project


def money(project: Project, as_of: str | None = None) -> list[tuple[Any, ...]]:
    """Return kind, expected, billed, impact and revision of the open findings."""
    query = "SELECT kind, expected, billed, impact, revision FROM findings WHERE status = 'open' ORDER BY kind"
    with open_warehouse(project, as_of=as_of) as warehouse:
        assert all(found.passed for found in audit(warehouse, MONEY_AUDITS))
        return [tuple(map(plain, row)) for row in warehouse.connection.execute(query).fetchall()]


def plain(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) else value


def test_where_quantity_and_amount_differ_both_findings_show_the_money_of_the_call(tmp_path: Path) -> None:
    project = reconciled(tmp_path, [usage(10), charge("c1", 7, 5)])
    assert money(project) == [("misrated", 10, 5, 2, 1), ("underbilled", 10, 5, 3, 1)]


def test_a_duplicate_charge_shows_the_money_of_the_call_with_the_excess(tmp_path: Path) -> None:
    project = reconciled(tmp_path, [usage(10), charge("c1", 10, 10), charge("c2", 10, 10)])
    assert money(project) == [("duplicate_charge", 10, 20, -10, 1)]


def test_tolerated_money_is_in_the_money_of_the_call_and_in_no_impact(tmp_path: Path) -> None:
    project = reconciled(tmp_path, [usage(10), charge("c1", 7, 6)], rules=policy(amount_tolerance=MICRO))
    assert money(project) == [("underbilled", 10, 6, 3, 1)]
    with open_warehouse(project) as warehouse:
        (found,) = warehouse.connection.execute("SELECT finding_id FROM findings").fetchall()
        explained = explain(warehouse, found[0])
    assert isinstance(explained, FindingExplanation)
    assert explained.arithmetic[2:] == [
        "difference = 10 - 6 = 4 EUR",
        "impact   = 3 EUR, the part that this finding claims; 1 is within tolerance",
    ]


def test_a_later_charge_changes_the_money_of_the_call_without_a_revision_of_its_other_findings(tmp_path: Path) -> None:
    project = reconciled(tmp_path, [usage(10), charge("c1", 7, 5)], [charge("c2", 4, 4)])
    assert money(project, as_of="3") == [("misrated", 10, 5, 2, 1), ("underbilled", 10, 5, 3, 1)]
    assert money(project) == [("duplicate_charge", 10, 9, -4, 1), ("misrated", 10, 9, 2, 1), ("underbilled", 10, 9, 3, 1)]


def test_the_audit_finds_a_booking_whose_impacts_do_not_add_up(tmp_path: Path) -> None:
    project = reconciled(tmp_path, [usage(10), charge("c1", 7, 5)])
    with lake_fixture.Lake.open(project) as lake:
        rows = lake.connection.execute("SELECT * FROM lake.events.finding WHERE kind = 'misrated'").pl()
        lake.commit(
            lambda transaction: transaction.append("finding", rows.with_columns(expected_micros=rows["expected_micros"] + 1))
        )
    with open_warehouse(project) as warehouse:
        failed = {found.name for found in audit(warehouse, MONEY_AUDITS) if not found.passed}
    assert "finding_arithmetic" in failed
