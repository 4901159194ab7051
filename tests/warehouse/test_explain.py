"""Findings and events in detail, and the decisions of analysts on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trueup.cli import main
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.log.lake import Lake
from trueup.warehouse.close import close
from trueup.warehouse.decide import decide
from trueup.warehouse.explain import EventExplanation, FindingExplanation, arithmetic, explain, finding_id_of
from trueup.warehouse.maintain import maintain
from trueup.warehouse.query import Warehouse
from trueup.warehouse.status import status


def hexed(name: str) -> str:
    return name.encode().ljust(16, b"\0").hex()


def test_a_finding_is_explained_by_the_records_of_both_sides(warehouse: Warehouse) -> None:
    explanation = explain(warehouse, hexed("f2")[:6])
    assert isinstance(explanation, FindingExplanation)
    assert explanation.finding["kind"] == "underbilled"
    assert [
        (m["stream"], m["record_key"], m["quantity"], m["amount"], m["path"], m["source_offset"]) for m in explanation.members
    ] == [
        ("usage", "u3", Decimal(5), None, "landing/msc/a.csv", 20),
        ("charge", "c3", Decimal(2), Decimal(20), "landing/billing/b.csv", 10),
        ("charge", "c4", Decimal(1), Decimal(5), "landing/billing/d.csv", 10),
    ]
    assert [(h["position"], h["action"], h["cause"]) for h in explanation.history] == [
        (3, "raised", "arrival"),
        (4, "revised", "late_charge"),
    ]
    assert explanation.arithmetic == [
        "expected = 50: 1 usage record of 5 units in all x 10 per 1",
        "billed   = 25: 20 + 5, 2 charges",
        "impact   = 50 - 25 = 25 IDR",
    ]


def test_the_arithmetic_of_a_charge_without_usage_expects_0(warehouse: Warehouse) -> None:
    explanation = explain(warehouse, hexed("f3"))
    assert isinstance(explanation, FindingExplanation)
    assert explanation.arithmetic == [
        "expected = 0: without usage nothing is expected", "billed   = 70: one charge", "impact   = 0 - 70 = -70 IDR",
    ]  # fmt: skip


def test_a_price_that_does_not_give_the_amount_is_left_out() -> None:
    finding = {"kind": "unbilled", "expected": Decimal(7), "billed": Decimal(0), "impact": Decimal(7), "currency": "EUR"}
    usage = [{"stream": "usage", "quantity": Decimal(2), "amount": None}]
    assert "session by session" in arithmetic(finding, usage, (Decimal(3), 1))[0]


def test_the_arithmetic_of_a_line_for_several_services_counts_the_records_of_each() -> None:
    finding = {"kind": "misrated", "expected": Decimal(7), "billed": Decimal(0), "impact": Decimal(7), "currency": "EUR"}
    usage = [{"stream": "usage", "service": s, "quantity": Decimal(2), "amount": None} for s in ("voice", "sms", "sms")]
    assert arithmetic(finding, usage, None)[0] == (
        "expected = 7: 3 usage records (2 of sms, 1 of voice), rated session by session at the price of each service"
    )


def test_the_arithmetic_of_a_duplicate_tells_its_charge_from_the_others() -> None:
    finding = {"kind": "duplicate_charge", "expected": Decimal(4), "billed": Decimal(8), "impact": Decimal(-4), "currency": "EUR",
               "reason": None}  # fmt: skip
    assert arithmetic(finding, [{"stream": "charge", "quantity": None, "amount": Decimal(4)}], None) == [
        "expected = 4: the price of what this charge and the others of the booking are for",
        "billed   = 8: of it 4 by the further charge", "impact   = 4 - 8 = -4 EUR",
    ]  # fmt: skip


def test_the_arithmetic_of_counters_names_the_one_that_counts() -> None:
    finding = {"kind": "unbilled", "expected": Decimal(9), "billed": Decimal(0), "impact": Decimal(9), "currency": "EUR"}
    usage = [{"stream": "usage", "quantity": Decimal(quantity), "amount": None} for quantity in (1, 3)]
    several = "expected = 9: 2 usage records that count the units so far; the last of each session counts, at 3 per 1"
    assert arithmetic(finding, usage, (Decimal(3), 1), parts="last")[0] == several
    assert (
        arithmetic(finding, usage[1:], (Decimal(3), 1), parts="last")[0]
        == "expected = 9: 1 usage record of 3 units in all x 3 per 1"
    )


COUNTERS = """
[project]
timezone = "UTC"
currency = "EUR"
[[source]]
name = "network"
stream = "usage"
path = "usage.csv"
columns = { record_key = "id", session_key = "session", service = "kind", subscriber = "user", started_at = "start", quantity = "units" }
[[source]]
name = "billing"
stream = "charge"
path = "charges.csv"
columns = { record_key = "id", session_key = "session", service = "kind", subscriber = "user", started_at = "start", amount = "amount" }
[reconcile.default]
match = ["session_key"]
price = "1"
"""


def test_a_finding_that_new_rules_retract_is_explained_by_the_rules_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_NOW", "2024-05-10T00:00:00Z")
    usage = "id,session,kind,user,start,units\n1,a,data,s,2024-05-01T10:00:00,2\n2,a,data,s,2024-05-01T11:00:00,5\n3,b,data,s,2024-05-09,0\n"
    (tmp_path / "usage.csv").write_text(usage)
    charges = "id,session,kind,user,start,amount\n1,a,data,s,2024-05-01T10:00:00,5\n2,b,data,s,2024-05-09,0\n"
    (tmp_path / "charges.csv").write_text(charges)
    (tmp_path / "trueup.toml").write_text(COUNTERS)
    assert main(["ingest", "--project", str(tmp_path)]) == main(["reconcile", "--project", str(tmp_path)]) == 0
    (tmp_path / "trueup.toml").write_text(COUNTERS + 'parts = "last"\n')
    assert main(["reconcile", "--project", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["findings", "--json", "--project", str(tmp_path)]) == 0
    (finding,) = json.loads(capsys.readouterr().out)
    assert (finding["kind"], finding["status"], finding["cause"]) == ("misrated", "retracted", "policy_change")
    assert main(["explain", finding["finding_id"], "--project", str(tmp_path)]) == 0
    assert "expected = 7: 2 usage records of 7 units in all x 1 per 1" in capsys.readouterr().out


def test_an_event_is_explained_by_its_source_file_and_its_findings(warehouse: Warehouse) -> None:
    explanation = explain(warehouse, hexed("c5"))
    assert isinstance(explanation, EventExplanation)
    assert (
        explanation.event["record_key"],
        explanation.event["amount"],
        explanation.event["path"],
        explanation.event["position"],
    ) == (
        "c5",
        Decimal(70),
        "landing/billing/b.csv",
        3,
    )
    assert [f["finding_id"] for f in explanation.findings] == [hexed("f3")]


def test_a_quarantined_record_is_explained_by_its_reason(warehouse: Warehouse) -> None:
    explanation = explain(warehouse, hexed("q1"))
    assert isinstance(explanation, EventExplanation)
    assert (explanation.event["reason"], explanation.event["raw"]) == ("bad_encoding", b"x,\xff\x1b[2")


@pytest.mark.parametrize(
    ("id_text", "message"),
    [
        ("f", "no finding, event or fraud case"),
        ("66", "more than one"),
        ("xyz", "invalid id"),
        ("", "invalid id"),
        ("0" * 33, "invalid id"),
    ],
)
def test_an_invalid_id_is_refused(warehouse: Warehouse, id_text: str, message: str) -> None:
    with pytest.raises(TrueupError, match=message):
        explain(warehouse, id_text)


def test_a_decision_on_an_event_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(TrueupError, match="no finding"):
        finding_id_of(warehouse, hexed("u1"))


def test_the_last_decision_counts_until_it_is_reopened(project: Project, ask: Callable[..., Any]) -> None:
    def decided_status() -> Any:
        return ask(f"SELECT status FROM findings WHERE finding_id = '{hexed('f2')}'")[0]["status"]

    moment = datetime(2024, 3, 5, tzinfo=UTC)
    assert decide(project, hexed("f2")[:8], "confirmed", note="seen; yes", decided_by="ann", clock=lambda: moment) == hexed("f2")
    assert decided_status() == "confirmed"
    decide(project, hexed("f2"), "reopened", clock=lambda: moment)
    assert decided_status() == "open"
    with pytest.raises(TrueupError, match="unknown decision"):
        decide(project, hexed("f2"), "forgotten")


def test_status_shows_positions_sources_and_money(warehouse: Warehouse) -> None:
    summary = status(warehouse)
    assert (summary.position, summary.reconciled_position, summary.lag) == (4, 4, 0)
    by_source = {s["source"]: (s["records"], s["quarantined"], s["frontier"]) for s in summary.sources}
    # The billing feed declares its completeness, and has not done so yet.
    assert by_source == {"msc": (6, 1, datetime(2024, 3, 1, 18, tzinfo=UTC)), "billing": (6, 0, None)}
    assert [(m["currency"], m["pending"], m["difference"]) for m in summary.money] == [("IDR", Decimal(70), Decimal(0))]


def test_a_source_is_closed_to_the_end_of_a_local_day_and_only_once(project: Project, ask: Callable[..., Any]) -> None:
    through, now = datetime(2024, 3, 2, 17, tzinfo=UTC), datetime(2024, 3, 3, 5, tzinfo=UTC)
    assert close(project, "billing", date(2024, 3, 2), clock=lambda: now).position == 5
    again = close(project, "billing", date(2024, 3, 2), clock=lambda: now)
    assert (again.position, again.through) == (None, through)
    assert ask("SELECT source, through FROM lake.events.declaration WHERE kind = 'close'") == [
        {"source": "billing", "through": through}
    ]
    with pytest.raises(TrueupError, match="msc, billing"):
        close(project, "biling", date(2024, 3, 2))


def test_a_day_is_closed_only_once_it_is_over_in_the_time_zone_of_the_project(project: Project, ask: Callable[..., Any]) -> None:
    end = datetime(2024, 3, 3, 17, tzinfo=UTC)
    for day, now in [(date(2024, 3, 3), end - timedelta(seconds=1)), (date(2042, 3, 2), end)]:
        with pytest.raises(TrueupError, match=f"{day} is not over: it ends at {day} 17:00:00Z.*--through.; name a day"):
            close(project, "billing", day, clock=lambda now=now: now)
    # On the last Sunday of March a day of Berlin has 23 hours.
    settings = project.config.project.model_copy(update={"timezone": "Europe/Berlin"})
    in_berlin = Project(project.directory, project.config.model_copy(update={"project": settings}))
    with pytest.raises(TrueupError, match=r"ends at 2024-03-31 22:00:00Z, and the clock shows 2024-03-31 21:59:59Z"):
        close(in_berlin, "billing", date(2024, 3, 31), clock=lambda: datetime(2024, 3, 31, 21, 59, 59, tzinfo=UTC))
    assert ask("SELECT count(*) AS closings FROM lake.events.declaration WHERE kind = 'close'") == [{"closings": 0}]
    assert close(project, "billing", date(2024, 3, 3), clock=lambda: end).through == end


def test_maintenance_merges_files_and_changes_no_answer(project: Project, lake: Lake, ask: Callable[..., Any], make: Any) -> None:
    questions = [f"SELECT * FROM {view} ORDER BY ALL" for view in ("findings", "finding_history", "feed_quality")]
    before = [ask(question, as_of) for question in questions for as_of in (None, "3")]
    done = maintain(project)
    assert done.merged > done.made > 0
    assert [ask(question, as_of) for question in questions for as_of in (None, "3")] == before
    assert maintain(project).merged == 0
