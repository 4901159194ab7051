"""`trueup clock`, and the effect of a wrong clock on commands that commit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueup.config import Project
from trueup.log.lake import Lake

Invoke = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
RIGHT, BEHIND, AHEAD, FAR = (
    f"20{year}-03-{day}T00:00:00+00:00" for year, day in (("24", "05"), ("24", "04"), ("24", "07"), ("50", "05"))
)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that sets the clock."""
    return lambda moment: monkeypatch.setenv("TRUEUP_NOW", moment)


@pytest.fixture
def idle(fresh: Path) -> Path:
    """Return the tiny project with a source that is skipped after a month of silence."""
    toml = fresh / "trueup.toml"
    toml.write_text(toml.read_text("utf-8").replace('stream = "charge"', 'stream = "charge"\nidle_after = "30d"'), "utf-8")
    return fresh


def positions(folder: Path) -> int:
    with Lake.open(Project.load(folder), read_only=True) as lake:
        return lake.last_position()


@pytest.mark.parametrize(("moment", "advice"), [(BEHIND, "`trueup clock`"), (AHEAD, "--accept-clock")])
@pytest.mark.parametrize(
    "command", [("ingest",), ("run",), ("ingest", "--watch"), ("close", "--source", "msc", "--through", "2024-03-02"), ("quality",)]
)  # fmt: skip
def test_a_wrong_clock_is_refused_in_one_line_and_nothing_is_committed(
    invoke: Invoke, fresh: Path, at: Callable[[str], None], command: tuple[str, ...], moment: str, advice: str
) -> None:
    at(RIGHT)
    assert invoke("ingest", "--project", fresh).status == 0
    before = positions(fresh)
    at(moment)
    (fresh / "landing/msc/b.csv").write_text("id,caller,start,seconds\nu9,A1,2024-03-01 10:00:00,3\n", "utf-8")
    result = invoke(*command, "--project", fresh)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith("trueup: the clock shows 2024-03-0") and advice in result.err
    assert positions(fresh) == before


def test_an_accepted_jump_ahead_is_declared_in_the_log_and_later_runs_continue(
    invoke: Invoke, fresh: Path, at: Callable[[str], None]
) -> None:
    at(RIGHT)
    invoke("ingest", "--project", fresh)
    at(AHEAD)
    result = invoke("ingest", "--accept-clock", "--project", fresh)
    assert (result.status, result.err) == (0, "the clock is accepted: 2024-03-07 00:00:00Z (position 4)\n")
    assert invoke("ingest", "--project", fresh).status == 0


def test_a_longest_jump_below_an_hour_is_refused(invoke: Invoke, fresh: Path) -> None:
    toml = fresh / "trueup.toml"
    toml.write_text(toml.read_text("utf-8").replace("[project]", '[project]\nmax_clock_jump = "5m"'), "utf-8")
    result = invoke("ingest", "--project", fresh)
    assert result.status == 2 and "max_clock_jump" in result.err


def test_a_wrong_tick_is_shown_superseded_and_counted_with_the_records_it_refused(
    invoke: Invoke, idle: Path, at: Callable[[str], None]
) -> None:
    at(RIGHT)
    assert invoke("ingest", "--project", idle).status == 0
    at(FAR)
    (idle / "landing/msc/b.csv").write_text("id,caller,start,seconds\nu9,A1,2024-03-02 10:00:00,3\n", "utf-8")
    assert invoke("ingest", "--accept-clock", "--project", idle).status == 0
    assert invoke("reconcile", "--project", idle).status == 0
    at(RIGHT)
    assert invoke("ingest", "--project", idle).status == 2
    newest, oldest = json.loads(invoke("clock", "--json", "--project", idle).out)["ticks"]
    assert (newest["position"], newest["state"], oldest["state"]) == (7, "in force", "in force")
    assert newest["says"].endswith("later than the clock: supersede it if the clock is right")
    result = invoke("clock", "--supersede", 7, "--project", idle)
    assert result.status == 0 and "void from position 8 on" in result.out and "1 record refused for the time" in result.out
    assert invoke("ingest", "--project", idle).status == 0
    assert invoke("reconcile", "--project", idle).status == 0
    assert "1 tick of a wrong clock superseded; 1 record refused" in invoke("status", "--project", idle).out
    (row,) = json.loads(invoke("status", "--json", "--project", idle).out)["superseded_ticks"]
    assert (row["position"], row["superseded_at"], row["refused_records"]) == (7, 8, 1)
    assert json.loads(invoke("status", "--json", "--as-of", "7", "--project", idle).out)["superseded_ticks"] == []
    changes = invoke("sql", "select position, action, cause from finding_history where position > 6 order by all", "--format", "csv",
                     "--project", idle).out.splitlines()[1:]  # fmt: skip
    assert {c for c in changes if c.startswith("7,")} == {"7,raised,frontier"}
    assert {c for c in changes if c.startswith("8,")} == {"8,retracted,policy_change"}
    stored, anew = (invoke("digest", *how, "--project", idle).out for how in ((), ("--recompute", "batch")))
    assert stored == anew
    again = invoke("clock", "--supersede", 7, "--project", idle)
    assert (again.status, again.err.count("\n")) == (2, 1) and "superseded already, by position 8" in again.err


def test_the_table_of_ticks_is_newest_first_and_states_when_a_log_has_none(
    invoke: Invoke, fresh: Path, at: Callable[[str], None]
) -> None:
    at(RIGHT)
    assert invoke("ingest", "--project", fresh).status == 0
    result = invoke("clock", "--project", fresh)
    assert result.out.splitlines() == [
        "the log has no ticks: no command has declared the time yet",
        "the clock shows 2024-03-05 00:00:00Z",
    ]
    assert invoke("clock", "--accept-clock", "--project", fresh).out == "the clock is accepted as it is; nothing changed\n"


def test_ticks_further_apart_than_a_clock_may_jump_are_refused(invoke: Invoke, fresh: Path) -> None:
    result = invoke("stream", "--tick-every", "2d", "--project", fresh)
    assert result.status == 2 and "--tick-every" in result.err and "max_clock_jump" in result.err
