"""Cases of root causes over a small lake: opened once, filled first, decided on, merged and split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.investigation import root_causes
from trueup.investigation.case_view import Filter, queue, title_of, view_case
from trueup.investigation.reshape import merge, split
from trueup.investigation.root_causes import Investigated, investigate, pattern_rows
from trueup.log.lake import Lake
from trueup.proof.decisions import check_decisions
from trueup.proof.evidence import Evidence
from trueup.warehouse.audit import AuditResult, audit
from trueup.warehouse.decide import Decision, decide, record
from trueup.warehouse.install_views import create_views
from trueup.warehouse.query import Warehouse, with_retries

NOW = datetime(2024, 3, 4, tzinfo=UTC)
Ask = Callable[[str], list[dict[str, Any]]]


def clock() -> datetime:
    return NOW


def later(days: int) -> Callable[[], datetime]:
    return lambda: NOW + timedelta(days=days)


@pytest.fixture
def failing(project: Project, make: Any) -> Iterator[Project]:
    """Yield a project in which node `bad` bills nothing, and of every other node one record in twenty is not billed."""
    with Lake.open(project, clock=clock) as lake:
        usage = [
            {
                "record_key": f"{node}{i}", "source_id": "msc@a", "service": "voice", "subscriber": f"s{i}", "peer": f"+4930{1 + i % 2}00",
                "node": node, "quantity_micros": 1_000_000,
            }
            for node in ("bad", "good", "fine") for i in range(40)
        ]  # fmt: skip
        lake.commit(lambda transaction: transaction.append("usage", make.events("usage", usage)))
        wrong = [row for row in usage if row["node"] == "bad" or row["record_key"][4:] in ("3", "7")]
        _raise_findings(lake, make, [row["record_key"] for row in wrong])
        yield project


def _raise_findings(lake: Lake, make: Any, names: list[str], position: int = 4) -> None:
    rows = [
        make.finding(
            name, position, "raised", "frontier", "unbilled", expected=10, usage=[name], node=name.rstrip("0123456789"),
            peer=f"+4930{1 + int(name[-1]) % 2}00",
            subscriber=f"s{name.lstrip('abdefgino')}",
        )
        for name in names
    ]  # fmt: skip
    make.append(lake, "finding", rows, make.FINDING_SCHEMA)


def ask(project: Project, query: str) -> list[dict[str, Any]]:
    def found(warehouse: Warehouse) -> list[dict[str, Any]]:
        create_views(warehouse.lake.connection, query)
        return warehouse.lake.connection.execute(query).to_arrow_table().to_pylist()

    return with_retries(project, found)


def bad_case(project: Project) -> dict[str, Any]:
    cases = with_retries(project, lambda warehouse: queue(warehouse, Filter(all=True), NOW))
    (case,) = [case for case in cases if case["title"] == "unbilled: node bad"]
    return case


def test_one_cause_is_one_case_and_a_second_search_adds_nothing(failing: Project) -> None:
    done = investigate(failing, clock=clock)
    case = bad_case(failing)
    assert (case["findings"], case["impact"], case["currency"], case["confidence"]) == (40, 400, "IDR", 1)
    assert ask(failing, "SELECT count(*) AS n, count(DISTINCT member_id) AS d FROM case_members") == [
        {"n": done.filed, "d": done.filed}
    ]
    before = ask(failing, "FROM cases")
    assert investigate(failing, clock=later(1)) == Investigated(0, 0, 0, 4, is_new=False)
    assert ask(failing, "FROM cases") == before


def test_two_searches_at_once_open_each_case_once(failing: Project) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: investigate(failing, clock=clock), range(2)))
    assert sorted(one.is_new for one in done) == [False, True]
    assert ask(failing, "SELECT count(*) - count(DISTINCT case_id) AS twice FROM cases") == [{"twice": 0}]


def test_a_finding_committed_during_a_search_is_filed_by_the_next_search(
    failing: Project, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_commit(warehouse: Warehouse) -> Any:
        read = pattern_rows(warehouse)
        with Lake.open(failing, clock=clock) as lake:
            _raise_findings(lake, make, ["bad99"])
        return read

    with monkeypatch.context() as patch:
        patch.setattr(root_causes, "pattern_rows", read_and_commit)
        investigate(failing, clock=clock)
    assert bad_case(failing)["findings"] == 40
    assert investigate(failing, clock=clock).filed == 1
    assert bad_case(failing)["findings"] == 41
    assert not investigate(failing, clock=clock).is_new


def test_a_search_of_an_earlier_version_is_repeated_once(failing: Project) -> None:
    investigate(failing, clock=clock)
    with Lake.open(failing, clock=clock) as lake:
        lake.connection.execute("UPDATE lake.events.consumer SET read_snapshot = NULL")
    before = ask(failing, "FROM cases")
    assert [investigate(failing, clock=clock).is_new for _ in range(2)] == [True, False]
    assert ask(failing, "FROM cases") == before


def test_a_later_finding_of_the_pattern_is_filed_in_the_open_case_and_opens_it_again(failing: Project, make: Any) -> None:
    investigate(failing, clock=clock)
    case = bad_case(failing)
    decide(failing, case["case_id"], "confirmed", decided_by="ann", clock=clock)
    assert bad_case(failing)["status"] == "confirmed"
    assert ask(failing, "SELECT count(*) AS n FROM findings WHERE status = 'confirmed'") == [{"n": 40}]
    with Lake.open(failing, clock=later(1)) as lake:
        _raise_findings(lake, make, ["bad99"])
    assert investigate(failing, clock=later(1)).opened == 0
    again = bad_case(failing)
    assert (again["case_id"], again["status"], again["findings"], again["open_findings"]) == (case["case_id"], "open", 41, 1)


def test_a_dismissed_pattern_hides_later_findings_for_a_time_and_shows_their_money(failing: Project, make: Any) -> None:
    investigate(failing, clock=clock)
    case_id = bad_case(failing)["case_id"]
    record(failing, [case_id], Decision("dismissed", "test calls", "ann", until=NOW + timedelta(days=30)), clock=clock)
    for name, days in (("bad77", 2), ("bad88", 40)):
        with Lake.open(failing, clock=later(1)) as lake:
            _raise_findings(lake, make, [name])
        investigate(failing, clock=later(days))
        if days == 2:
            hidden = bad_case(failing)
            assert (hidden["status"], hidden["hidden_findings"], hidden["hidden_impact"]) == ("dismissed", 1, 10)
            assert hidden["suppressed_until"] == NOW + timedelta(days=30)
    shown = bad_case(failing)
    assert (shown["status"], shown["hidden_findings"], shown["open_findings"]) == ("open", 1, 1)


def test_a_reopening_ends_the_suppression_of_the_pattern(failing: Project, make: Any) -> None:
    investigate(failing, clock=clock)
    case_id = bad_case(failing)["case_id"]
    record(failing, [case_id], Decision("dismissed", "test calls", "ann", until=NOW + timedelta(days=30)), clock=clock)
    decide(failing, case_id, "reopened", decided_by="bob", clock=clock)
    again = bad_case(failing)
    assert (again["status"], again["suppressed_until"], again["note"]) == ("open", None, "test calls")
    with Lake.open(failing, clock=later(1)) as lake:
        _raise_findings(lake, make, ["bad77"])
    investigate(failing, clock=later(1))
    assert (bad_case(failing)["hidden_findings"], bad_case(failing)["open_findings"]) == (0, 41)


def test_the_queue_leaves_out_decided_and_snoozed_cases(failing: Project) -> None:
    investigate(failing, clock=clock)
    case_id = bad_case(failing)["case_id"]

    def titles(wanted: Filter, now: datetime) -> list[str]:
        return [case["title"] for case in with_retries(failing, lambda warehouse: queue(warehouse, wanted, now))]

    assert titles(Filter(), NOW)[0] == "unbilled: node bad"
    record(failing, [case_id], Decision("snoozed", until=NOW + timedelta(days=7)), clock=clock)
    assert "unbilled: node bad" not in titles(Filter(), NOW)
    assert "unbilled: node bad" in titles(Filter(), NOW + timedelta(days=8))
    record(failing, [case_id], Decision("assigned", assignee="bob"), clock=clock)
    assert titles(Filter(owner="bob", all=True), NOW) == ["unbilled: node bad"]
    with pytest.raises(TrueupError, match="unknown type 'leak'"):
        titles(Filter(type="leak"), NOW)


def test_a_split_part_and_a_merged_case_keep_their_findings_once(failing: Project, make: Any) -> None:
    investigate(failing, clock=clock)
    case_id = bad_case(failing)["case_id"]
    with pytest.raises(TrueupError, match="all of the findings"):
        split(failing, case_id, ["destination_5=+4930"], Decision("split"), clock=clock)
    with pytest.raises(TrueupError, match="none of the findings"):
        split(failing, case_id, ["plan=gold"], Decision("split"), clock=clock)
    with pytest.raises(TrueupError, match="invalid condition"):
        split(failing, case_id, ["plan"], Decision("split"), clock=clock)
    other = next(case["case_id"] for case in ask(failing, "FROM cases") if case["kind"] == "charge_without_usage")
    with pytest.raises(TrueupError, match="merge cases of one kind"):
        merge(failing, case_id, other, Decision("merged"), clock=clock)
    with pytest.raises(TrueupError, match="into itself"):
        merge(failing, case_id, case_id, Decision("merged"), clock=clock)
    part = split(failing, case_id, ["destination=+49302"], Decision("split", decided_by="ann"), clock=clock)
    assert (bad_case(failing)["findings"], part.subject_id) == (20, case_id)
    (child,) = ask(failing, f"FROM cases WHERE parent = '{case_id}'")
    assert (child["findings"], title_of(child)) == (20, "unbilled: node bad, destination +49302")
    merge(failing, child["case_id"], case_id, Decision("merged"), clock=clock)
    rest = next(
        case["case_id"]
        for case in ask(failing, "FROM cases WHERE kind = 'unbilled'")
        if not case["parent"] and case["case_id"] != case_id
    )
    merge(failing, rest, case_id, Decision("merged", decided_by="ann"), clock=clock)
    assert bad_case(failing)["findings"] == 44
    with pytest.raises(TrueupError, match="was merged into"):
        decide(failing, rest, "confirmed", clock=clock)
    assert ask(failing, f"SELECT status, merged_into FROM cases WHERE case_id = '{rest}'") == [
        {"status": "merged", "merged_into": case_id}
    ]
    with Lake.open(failing, clock=later(1)) as lake:
        _raise_findings(lake, make, ["good9"])
    investigate(failing, clock=later(1))
    assert bad_case(failing)["findings"] == 45
    assert [event["event"] for event in view(failing, rest).history] == ["filed", "opened", "merged"]
    # Findings that were filed twice have their money once.
    assert {result.offending for result in audits_of_cases(failing)} == {0}


def view(project: Project, case_id: str) -> Any:
    return with_retries(project, lambda warehouse: view_case(warehouse, case_id))


def audits_of_cases(project: Project) -> list[AuditResult]:
    return with_retries(project, lambda warehouse: audit(warehouse, ["case_filings", "money_ledger"]))


def test_audits_pass_and_the_cases_of_an_earlier_position_are_those_of_then(failing: Project) -> None:
    investigate(failing, clock=clock)
    assert [(result.name, result.offending) for result in audits_of_cases(failing)] == [("case_filings", 0), ("money_ledger", 0)]
    (counted,) = with_retries(failing, lambda warehouse: warehouse.connection.execute("SELECT count(*) FROM cases").fetchall(), "3")
    assert counted == (0,)


def test_a_case_whose_pattern_was_changed_is_detected(failing: Project) -> None:
    investigate(failing, clock=clock)
    with Lake.open(failing, clock=clock) as lake:
        assert check_decisions(Evidence(lake, ())).faults == ()
        lake.connection.execute("UPDATE lake.events.case_opening SET pattern = '[]' WHERE kind = 'unbilled'")
        faults = check_decisions(Evidence(lake, ())).faults
    assert faults and all("was changed after it was opened" in fault.detail for fault in faults)


def test_a_title_names_the_values_that_all_findings_share_and_shows_markup_as_text() -> None:
    assert title_of({"kind": "unbilled", "pattern": '[["side", "leakage"]]'}) == "unbilled: no dimension in common"
    assert (
        title_of({"kind": "misrated", "pattern": '[["side", "overcharge"], ["attribute:apn", "<b>"]]'})
        == "misrated: side overcharge, apn <b>"
    )
