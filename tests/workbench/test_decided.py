"""Pages after decisions: without a new copy of the views they show the same as with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from threading import Thread
from typing import Any

import pytest
from browsing import ask, page_of
from failing_node import find_cases, write_failing_node
from serving import serving
from small_project import NOW, clock

from trueup.config import Project
from trueup.investigation.reshape import merge
from trueup.warehouse.decide import Decision, record
from trueup.workbench.reading.copying import COPIED
from trueup.workbench.reading.view_copy import ViewCopy

CASES = "SELECT case_id FROM cases ORDER BY findings DESC"
OTHERS = ("exposure_by_day", "provisioning", "fraud_daily")
"""Tables that follow decisions with another copy: no page of a case and no queue reads them."""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = write_failing_node(tmp_path_factory.mktemp("decided") / "failing")
    find_cases(project)
    return project


def shown(views: ViewCopy) -> dict[str, list[Any]]:
    """Return the rows of all views that pages read and that decisions change at once."""
    with views.reading() as (_, connection):
        tables = [*(name for name in COPIED if name not in OTHERS), "loose_findings"]
        return {table: sorted(map(repr, connection.execute(f"FROM {table}").fetchall())) for table in tables}


@pytest.fixture
def copies() -> Iterator[Callable[[Project], ViewCopy]]:
    made: list[ViewCopy] = []

    def copy_of(project: Project) -> ViewCopy:
        made.append(ViewCopy(project, clock))
        made[-1].refresh()
        return made[-1]

    yield copy_of
    for each in made:
        each.close()


def test_the_case_and_the_queue_derive_from_a_decision_at_once(failing: Project, browser: Any) -> None:
    case = ask(failing, CASES)[0]["case_id"]
    with serving(failing) as running, page_of(browser, running) as page:
        page.goto(f"{running.address}/case/{case}")
        page.get_by_text("In account detected").wait_for()
        page.get_by_role("button", name="Confirm", exact=True).click()
        page.locator(".q-dialog input").fill("200")
        page.locator("[data-decide]").click()
        page.get_by_text("In account confirmed").wait_for()
        facts = page.locator(".tu-table").first.inner_text()
        assert "Undecided\tIDR1,000.00" in facts and "IDR200.00" in facts and "1,200.00" not in facts
        page.get_by_role("button", name="Confirm", exact=True).click()
        page.locator("[data-decide]").click()
        page.locator(".tu-chip.confirmed").wait_for()
        facts = page.locator(".tu-table").first.inner_text()
        assert "In account detected" not in facts and "1,200.00" in facts
        page.goto(f"{running.address}/cases")
        page.locator(".ag-row").first.wait_for()
        assert page.locator(".tu-fact", has_text="Leakage").inner_text().count("120.00") == 1
        assert page.locator(".ag-center-cols-container .ag-row").count() == 1


def test_after_decisions_of_all_kinds_pages_equal_those_of_another_copy(failing: Project, copies: Any) -> None:
    (bad,), (rest,) = (tuple(row.values()) for row in ask(failing, CASES))
    of_case = f"SELECT member_id FROM case_members WHERE case_id = '{bad}' ORDER BY 1 LIMIT 2"
    first, second = (row["member_id"] for row in ask(failing, of_case))
    views = copies(failing)
    for subject, decision in (
        (bad, Decision("claimed", decided_by="ann", amount_micros=70_000_000)),
        (first, Decision("dismissed", "ours", "bob")),
        (bad, Decision("assigned", decided_by="ann", assignee="eve")),
        (rest, Decision("due", decided_by="ann", day=date(2024, 4, 1))),
        (rest, Decision("dismissed", "all of them", "ann", until=NOW + timedelta(days=9))),
        (bad, Decision("written_off", decided_by="ann")),
        (second, Decision("confirmed", decided_by="bob")),
        (bad, Decision("reopened", decided_by="bob")),
        (bad, Decision("snoozed", decided_by="bob", until=NOW + timedelta(days=2))),
    ):
        record(failing, [subject], decision, clock=clock)
        assert not views.show_decisions()
    assert shown(views) == shown(copies(failing))
    assert views.current.decided.commits == 9 and views.follow() == "decisions"


def test_a_decision_on_a_suspected_party_changes_its_transactions_and_its_case(processed: Project, copies: Any) -> None:
    cases = "SELECT case_id, party FROM cases WHERE type = 'fraud' ORDER BY case_id LIMIT 1"
    (case,) = ask(processed, cases)
    views = copies(processed)
    record(processed, [case["case_id"]], Decision("confirmed", decided_by="ann"), clock=clock)
    views.show_decisions()
    with views.reading() as (_, connection):
        statuses = f"SELECT DISTINCT status FROM suspicious_transactions WHERE case_id = '{case['case_id']}'"
        assert connection.execute(statuses).fetchall() == [("confirmed",)]
    assert shown(views) == shown(copies(processed))


def test_a_decision_on_a_case_after_one_on_its_transaction_counts_on_the_page_too(processed: Project, copies: Any) -> None:
    members = "SELECT case_id, event_id FROM suspicious_transactions WHERE is_first ORDER BY case_id, event_id LIMIT 1"
    (member,) = ask(processed, members)
    views = copies(processed)
    for subject, decision in (
        (member["case_id"], Decision("reopened", decided_by="ann")),
        (member["event_id"], Decision("confirmed", decided_by="ann")),
        (member["case_id"], Decision("dismissed", "a test", "bob")),
    ):
        record(processed, [subject], decision, clock=clock)
        assert not views.show_decisions()
    with views.reading() as (_, connection):
        state = f"SELECT status, open_micros FROM cases WHERE case_id = '{member['case_id']}'"
        assert connection.execute(state).fetchall() == [("dismissed", 0)]
    assert shown(views) == shown(copies(processed))


def test_a_part_of_the_money_of_a_suspected_party_is_decided_on_the_page_too(processed: Project, copies: Any) -> None:
    (case,) = ask(processed, "SELECT case_id, impact_micros FROM cases WHERE type = 'fraud' AND impact_micros > 0")
    views = copies(processed)
    for decision in (
        Decision("reopened", decided_by="ann"),
        Decision("prevented", decided_by="ann", amount_micros=30_000_000),
    ):
        record(processed, [case["case_id"]], decision, clock=clock)
        assert not views.show_decisions()
    with views.reading() as (_, connection):
        state = f"SELECT status, open_micros FROM cases WHERE case_id = '{case['case_id']}'"
        assert connection.execute(state).fetchall() == [("open", case["impact_micros"] - 30_000_000)]
    assert shown(views) == shown(copies(processed))


def test_decisions_made_while_the_views_are_copied_are_shown(failing: Project, copies: Any) -> None:
    views = copies(failing)
    case = ask(failing, CASES)[0]["case_id"]
    write_copy = views._write_copy

    def decide_meanwhile(warehouse: Any) -> Any:
        version = write_copy(warehouse)
        record(failing, [case], Decision("confirmed", decided_by="ann"), clock=clock)
        views.show_decisions()
        return version

    views._write_copy = decide_meanwhile  # type: ignore[method-assign]
    record(failing, [case], Decision("commented", "look", "ann"), clock=clock)
    views.refresh()
    with views.reading() as (_, connection):
        query = f"SELECT status, note FROM cases WHERE case_id = '{case}'"
        assert connection.execute(query).fetchall() == [("confirmed", "look")]


def test_decisions_at_once_are_all_shown(failing: Project, copies: Any) -> None:
    views = copies(failing)
    findings = [row["finding_id"] for row in ask(failing, "SELECT finding_id FROM findings ORDER BY 1 LIMIT 4")]

    def decide_and_show(finding: str) -> None:
        record(failing, [finding], Decision("confirmed", decided_by="ann"), clock=clock)
        views.show_decisions()

    deciding = [Thread(target=decide_and_show, args=(finding,)) for finding in findings]
    for each in deciding:
        each.start()
    for each in deciding:
        each.join()
    with views.reading() as (_, connection):
        query = "SELECT count(*) FROM findings WHERE status = 'confirmed' AND list_contains($findings, finding_id)"
        assert connection.execute(query, {"findings": findings}).fetchone() == (4,)


def test_a_merge_needs_another_copy(failing: Project, copies: Any) -> None:
    (bad,), (rest,) = (tuple(row.values()) for row in ask(failing, CASES))
    views = copies(failing)
    merge(failing, rest, bad, Decision("merged", decided_by="ann"), clock=clock)
    assert views.show_decisions() and views.follow() == "more"
    record(failing, [bad], Decision("commented", "one cause", "ann"), clock=clock)
    assert not views.show_decisions() and views.follow() == "more"
    views.refresh()
    assert shown(views) == shown(copies(failing)) and views.follow() == "nothing"
