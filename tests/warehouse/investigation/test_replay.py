"""Cases, decisions and the money ledger can be rebuilt from files and decisions, with an empty lake and warehouse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from failing_node import deliver_late_charges, find_cases, write_failing_node
from small_project import NOW

from trueup.config import Project
from trueup.investigation.reshape import merge, split
from trueup.warehouse.audit import audit
from trueup.warehouse.decide import Decision, record
from trueup.warehouse.publish import publish
from trueup.warehouse.query import with_retries

pytestmark = pytest.mark.slow
VIEWS = ("cases", "case_members", "case_history", "money_ledger", "money_by_account", "findings")


def at(hours: int) -> Callable[[], datetime]:
    return lambda: NOW + timedelta(hours=hours)


def work(folder: Path) -> Project:
    """Find cases, decide on them in most ways, let late charges arrive, and find cases again."""
    project = write_failing_node(folder)
    find_cases(project, at(0))
    bad, rest = (row["case_id"] for row in rows(project, "cases") if row["kind"] == "unbilled")
    part = split(project, bad, ["destination=+49302"], Decision("split", "another trunk", "ann"), clock=at(1)).into
    record(project, [part], Decision("assigned", assignee="bob", decided_by="ann"), clock=at(2))
    record(project, [rest], Decision("dismissed", "test calls", "bob", until=NOW + timedelta(days=30)), clock=at(3))
    record(project, [bad], Decision("claimed", "called billing", "ann", amount_micros=100_000_000), clock=at(4))
    deliver_late_charges(project)
    find_cases(project, at(5))
    merge(project, part, bad, Decision("merged", "one cause", "ann"), clock=at(6))
    record(project, [bad], Decision("confirmed", "", "ann"), clock=at(7))
    return project


def rows(project: Project, view: str) -> list[dict[str, Any]]:
    return with_retries(
        project,
        lambda warehouse: warehouse.connection.execute(f"SELECT * FROM {view} ORDER BY ALL").to_arrow_table().to_pylist(),
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return work(tmp_path_factory.mktemp("replay") / "first")


def test_the_same_files_and_decisions_give_the_same_cases_and_ledger_in_an_empty_lake(first: Project, tmp_path: Path) -> None:
    second = work(tmp_path / "second")
    for view in VIEWS:
        assert rows(first, view) == rows(second, view), view
    cases = {row["status"]: row["findings"] for row in rows(first, "cases") if row["kind"] == "unbilled"}
    assert cases == {"confirmed": 35, "merged": 0, "dismissed": 4}
    accounts = Counter[str]()
    for row in rows(first, "money_by_account"):
        accounts[row["account"]] += int(row["balance"])
    assert +accounts == {"claimed": 100, "confirmed": 35 * 30 - 100, "false_alarm": 4 * 30}
    assert sum(accounts.values()) == 0
    assert [one.name for one in with_retries(first, lambda warehouse: audit(warehouse)) if one.offending] == []


def test_an_empty_warehouse_is_filled_with_the_same_rows(first: Project, tmp_path: Path) -> None:
    published = []
    for name in ("first.duckdb", "second.duckdb"):
        publish(first, tmp_path / name, clock=at(8))
        with duckdb.connect(str(tmp_path / name), read_only=True) as connection:
            published.append({v: connection.execute(f"SELECT * FROM {v} ORDER BY ALL").fetchall() for v in VIEWS})
    assert published[0] == published[1]
    assert {view: len(found) for view, found in published[0].items()} == {view: len(rows(first, view)) for view in VIEWS}
