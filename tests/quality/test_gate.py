"""The gate: findings that block a day, mark the day or are only noted, and the commands that follow the gate."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import test_controls as story

from trueup.cli import main
from trueup.config import GateConfig
from trueup.quality.completeness.evaluate_tick import OPEN_FINDING
from trueup.quality.gate import Day, blocked_from, gate

pytestmark = pytest.mark.filterwarnings("ignore")
DAY = date(2024, 3, 2)
HOUR_US = 3_600_000_000
START_US = 1_709_337_600_000_000
"""Midnight UTC of that day."""
USED, BILLED = story.DAYS * story.PER_DAY, (story.DAYS - 1) * story.PER_DAY
"""Records that arrived: the billing file of one day is lost."""


def finding_of(kind: str, *, hours: int = 1) -> pl.DataFrame:
    row = {
        "kind": kind, "control": "c", "stream": "usage", "source": "msc", "node": "M1", "service": "", "subject": "1",
        "from_us": START_US, "to_us": START_US + hours * HOUR_US, "reason": "seen",
    }  # fmt: skip
    return pl.DataFrame([row], schema=OPEN_FINDING)


@pytest.mark.parametrize("verdict", ["block", "mark", "note"])
@pytest.mark.parametrize("kind", ["missing_records", "stale_feed", "volume_drop", "total_mismatch"])
def test_the_configuration_decides_the_effect_of_a_finding_on_its_day(kind: str, verdict: str) -> None:
    config = GateConfig.model_validate({kind: verdict})
    assert gate(finding_of(kind), config, "UTC", {}) == [Day(DAY, verdict, (f"{kind}: msc M1: seen",))]  # type: ignore[arg-type]


@pytest.mark.parametrize(("severity", "verdict"), [("block", "block"), ("mark", "mark"), ("note", "note"), ("quarantine", "mark")])
def test_the_severity_decides_the_effect_of_a_failed_expectation_on_its_day(severity: Any, verdict: str) -> None:
    failed = finding_of("failed_expectation", hours=24).with_columns(subject=pl.lit(f"a rule {DAY}"))
    days = gate(failed, GateConfig(), "UTC", {("usage", "a rule"): severity, ("charge", "a rule"): "block"})
    assert days == [Day(DAY, verdict, ("failed_expectation: msc M1: seen",))]  # type: ignore[arg-type]
    assert [d.verdict for d in gate(failed, GateConfig(), "UTC", {})] == ["note"], "no rule expects it any more"


def test_the_heaviest_reason_decides_and_days_are_of_the_projects_zone() -> None:
    both = pl.concat([finding_of("total_mismatch", hours=24), finding_of("stale_feed", hours=1)])
    days = gate(both, GateConfig(), "Asia/Jakarta", {})
    assert [(d.day, d.verdict) for d in days] == [(DAY, "block"), (DAY + timedelta(days=1), "mark")]
    assert blocked_from(days) == DAY
    assert blocked_from(days[1:]) is None


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the test operator after `run`, with billing file 2 lost and a gate that blocks for it."""
    folder = tmp_path_factory.mktemp("gate") / "project"
    story.project(folder)
    (folder / "landing/msc/M1-002.csv").write_text(story.usage_file(2))
    (folder / "landing/billing/002.csv").unlink()
    with (folder / "trueup.toml").open("a") as file:
        file.write('[quality.gate]\nmissing_records = "block"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_NOW", story.NOW.isoformat())
        assert main(["run", "--project", str(folder)]) == 0
    return folder


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the clock after each test: other tests share this process."""
    monkeypatch.setenv("TRUEUP_NOW", story.NOW.isoformat())


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    status = main(list(arguments))
    return status, capsys.readouterr().out


def test_run_reconciles_the_days_before_the_first_that_is_blocked(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "select kind, status, count(*) n from findings group by all order by all"
    status, out = run_command(capsys, "sql", query, "--json", "--project", str(ran))
    assert (status, json.loads(out)) == (0, [{"kind": "missing_records", "status": "open", "n": 1}])


def test_quality_prints_a_row_for_each_feed_and_exits_by_the_gate(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = run_command(capsys, "quality", "--project", str(ran), "--no-validate")
    assert status == 0
    for word in ("feed", "expected", "arrived", "missing", "late", "worst rule", "money at stake", "blocked"):
        assert word in out
    status, out = run_command(capsys, "quality", "--project", str(ran), "--no-validate", "--check", "--json")
    answer = json.loads(out)
    assert status == 1
    assert {d["verdict"] for d in answer["days"]} == {"block"}
    billing = next(f for f in answer["feeds"] if f["feed"] == "billing")
    assert (billing["arrived"], billing["worst_rule"]) == (BILLED, "file 2 did not come")


def test_feed_quality_has_a_row_for_each_node_and_hour(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "select source, node, count(*) n, sum(records) records, sum(findings) > 0 as wrong from feed_quality group by all order by all"
    _, out = run_command(capsys, "sql", query, "--json", "--project", str(ran))
    rows = json.loads(out)
    assert [(r["source"], r["node"], r["records"], r["wrong"]) for r in rows] == [
        ("billing", "", BILLED, True),
        ("msc", "M1", USED, False),
    ]


def test_the_day_is_reconciled_once_the_file_arrives(ran: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(ran, tmp_path / "copied"))
    (folder / "landing/billing/002.csv").write_text(story.charge_file(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_NOW", (story.NOW + timedelta(hours=1)).isoformat())
        status, out = run_command(capsys, "run", "--project", str(folder), "--check", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["quality"]["days"] == []
    assert answer["leakage"] == []
    assert all(a["passed"] for a in answer["audits"])


def test_a_finding_of_a_feed_is_explained_with_its_bounds(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run_command(capsys, "findings", "--kind", "missing_records", "--json", "--project", str(ran))
    (found,) = json.loads(out)
    status, out = run_command(capsys, "explain", found["finding_id"], "--project", str(ran))
    assert status == 0
    assert "billing" in out.splitlines()[3]
    assert "file 2 did not come" in out
