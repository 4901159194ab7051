"""Messages of long commands: none with `--quiet`, drawn only on terminals; and help texts keep their lines."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trueup.cli import main, output, summary
from trueup.cli.progress import Bars, Durations
from trueup.warehouse.first_look import FirstLook, advice, leakage_by_kind

Invoke = Callable[..., Any]


def test_help_shows_brackets_as_they_are_written(invoke: Invoke) -> None:
    for _ in range(2):
        assert "[[source]]" in invoke("presets", "--help").out
    assert "[anchor]" in invoke("run", "--help").out and "\\[" not in invoke("run", "--help").out


def test_quiet_prints_problems_only_and_json_nevertheless(invoke: Invoke, fresh: Any) -> None:
    result = invoke("ingest", "--quiet", "--project", fresh)
    assert (result.status, result.out) == (0, "")
    assert "ingested" not in result.err
    assert '"units"' in invoke("ingest", "-q", "--json", "--project", fresh).out
    loud = invoke("ingest", "--project", fresh)
    assert "already ingested" in loud.out, "a quiet command leaves the next one as it was"
    assert invoke("ingest", "--quiet", "--project", fresh / "nowhere").err.startswith("trueup: ")


def test_a_step_has_its_duration() -> None:
    times = iter([10.0, 10.44, 20.0, 145.2])
    took = Durations(lambda: next(times))
    for name in ("short", "long"):
        with took.step(name):
            pass
    assert (took.text("short"), took.text("long")) == ("0.4 s", "2 min 05 s")


def test_the_bar_of_a_file_disappears_when_it_is_read() -> None:
    from rich.progress import Progress

    with Progress(console=Console(file=io.StringIO(), force_terminal=True)) as bar:
        bars = Bars(bar)
        for done in (0, 5, 10):
            bars.update("a.csv", done, 10)
            bars.update("b.csv", done // 2, 10)
        assert [task.description for task in bar.tasks] == ["b.csv"]


@pytest.mark.parametrize(("no_color", "is_coloured"), [(None, True), ("1", False)])
def test_colours_follow_no_color(no_color: str | None, is_coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["run", "--help"]) == 0
    assert ("\x1b[1;36m" in screen.getvalue() or "\x1b[36m" in screen.getvalue()) == is_coloured


def row(kind: str, impact: str, currency: str = "EUR", findings: int = 1) -> dict[str, Any]:
    money = Decimal(impact)
    return {
        "kind": kind, "service": "voice", "currency": currency, "findings": findings, "leakage": max(money, Decimal(0)),
        "overcharge": max(-money, Decimal(0)), "impact": money,
    }  # fmt: skip


def test_leakage_is_added_up_by_kind_and_currency_largest_impact_first() -> None:
    rows = [row("unbilled", "2.5"), row("misrated", "-9"), row("unbilled", "1.5", findings=3), row("unbilled", "7", "USD")]
    found = [(r["kind"], r["currency"], r["findings"], r["impact"]) for r in leakage_by_kind(rows)]
    assert found == [("misrated", "EUR", 1, -9), ("unbilled", "USD", 1, 7), ("unbilled", "EUR", 4, 4)]


def test_the_summary_is_short_and_names_the_first_thing_to_check(capsys: pytest.CaptureFixture[str]) -> None:
    party = {"party": "+999700", "day": "2024-03-01", "transactions": 3, "probability": None, "reason": "many-calls"}
    party |= {"exposure": Decimal("540.5"), "currency": "EUR", "summary": "+999700, likely PBX hacking: 540.50 EUR at risk."}
    feed = {
        "source": "msc", "kind": "missing_records", "currency": "EUR", "first_day": "2024-03-01", "last_day": "2024-03-02",
        "records_low": 1, "records_high": 9, "impact_low": Decimal("1.5"), "impact_high": Decimal("12.25"),
    }  # fmt: skip
    look = FirstLook(
        leakage_by_kind([row(f"kind{n}", str(20 - n)) for n in range(9)] + [row("unbilled", "70")]), [party] * 5, [feed]
    )
    summary.show_first_look(look, " --project demo")
    shown = capsys.readouterr().out.splitlines()
    assert "and 4 more kinds: trueup findings --project demo" in shown
    assert "and 2 more parties: trueup cases --type fraud --project demo" in shown
    assert any(line.startswith("1. unbilled, 1 finding, 70 EUR: Look for the charge") for line in shown)
    assert any(line.startswith("2. +999700, likely PBX hacking: 540.50 EUR at risk. Then record your") for line in shown)
    assert any("540.50" in line and "many-calls" in line for line in shown)
    assert any(line.startswith("3. msc, missing_records since 2024-03-01: Request") for line in shown)
    assert len(shown) <= 30


def test_nothing_found_is_nothing_to_look_at() -> None:
    assert advice(FirstLook([], [], [])) == []
    waits = {"currency": "EUR", "usage": Decimal("0.45"), "charges": Decimal(0), "first_day": "2026-11-01"}
    assert advice(FirstLook([], [], [], [waits])) == [
        "pending since 2026-11-01, 0.45 EUR of usage: matching records may still arrive; `trueup close` declares a feed complete."
    ]
    untimed = advice(FirstLook([], [], [], [waits | {"first_day": None}]))
    assert untimed[0].startswith("pending, 0.45 EUR of usage: ")
    assert output.short("/nowhere/file") == "/nowhere/file"


BLOCKING = """
[[expectation]]
type = "expect_column_values_to_match_regex"
stream = "usage"
name = "own_number"
notes = "A number of this operator begins with B."
severity = "block"
arguments = { column = "subscriber", regex = "^B" }
"""
UNREACHABLE = """
[notify]
run = true
file = "/proc/nowhere/cases.txt"
"""


def test_a_quiet_run_names_the_blocked_day_that_fails_its_check(
    invoke: Invoke, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_NOW", "2024-03-05T00:00:00+00:00")
    with (fresh / "trueup.toml").open("a") as file:
        file.write(BLOCKING)
    result = invoke("run", "--check", "--quiet", "--project", fresh)
    assert (result.status, result.out) == (1, "")
    assert "2024-03-01 is blocked: " in result.err


def test_a_quiet_run_names_the_message_that_could_not_be_sent(invoke: Invoke, copied: Path) -> None:
    with (copied / "trueup.toml").open("a") as file:
        file.write(UNREACHABLE)
    result = invoke("run", "--quiet", "--project", copied)
    assert (result.status, result.out) == (2, "")
    assert "/proc/nowhere/cases.txt" in result.err


def test_a_quiet_verification_names_its_faults(invoke: Invoke, copied: Path) -> None:
    for file in (copied / "landing").rglob("*.csv"):
        file.unlink()
    result = invoke("verify", "--quiet", "--project", copied)
    assert (result.status, result.out) == (1, "")
    assert "UNAVAILABLE" in result.err
    assert "faults: 0 tampered" in result.err
