"""Files are taken in as they land: the complete ones, each once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trueup.collect.ingest import IngestSummary, ingest
from trueup.collect.watch import Watch, watch
from trueup.config import Project
from trueup.errors import ClockError

NOW = datetime(2024, 5, 1, tzinfo=UTC)
TOML = """
[[source]]
name = "msc"
stream = "usage"
path = "landing/*.csv"
timezone = "UTC"
columns = {{ record_key = "id", subscriber = "who", started_at = "at", quantity = "seconds" }}
constants = {{ service = "voice" }}
{complete}
"""


def project_in(folder: Path, complete: str = "") -> Project:
    (folder / "landing").mkdir()
    (folder / "trueup.toml").write_text(TOML.format(complete=complete), "utf-8")
    return Project.load(folder)


def land(project: Project, name: str, changed: datetime = NOW) -> Path:
    path = project.directory / "landing" / name
    path.write_text(f"id,who,at,seconds\n{name},A,2024-04-01 10:00:00,5\n", "utf-8")
    os.utime(path, (changed.timestamp(), changed.timestamp()))
    return path


def taken(summary: IngestSummary | None) -> list[str]:
    assert summary is not None and not summary.errors
    return [Path(unit.path).name for unit in summary.units if unit.outcome == "taken"]


def test_what_lands_is_taken_in_and_what_is_known_is_not_looked_at_again(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    looking = Watch(project, clock=lambda: NOW)
    assert looking.look() is None
    land(project, "a.csv")
    assert taken(looking.look()) == ["a.csv"]
    assert looking.look() is None
    land(project, "b.csv")
    assert taken(looking.look()) == ["b.csv"]
    assert taken(Watch(project, clock=lambda: NOW).look()) == []


def test_a_file_that_cannot_be_taken_in_is_told_once_and_again_when_it_has_changed(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    looking = Watch(project, clock=lambda: NOW)
    (tmp_path / "landing" / "bad.csv").write_text("other,header\n1,2\n", "utf-8")
    first = looking.look()
    assert first is not None and len(first.errors) == 1
    assert looking.look() is None
    land(project, "bad.csv")
    assert taken(looking.look()) == ["bad.csv"]


def test_a_file_with_a_marker_to_come_waits_for_it(tmp_path: Path) -> None:
    project = project_in(tmp_path, 'complete = "marker"\nmarker = ".ok"\n')
    looking = Watch(project, clock=lambda: NOW)
    path = land(project, "a.csv")
    assert looking.look() is None
    summary = ingest(project, clock=lambda: NOW)
    assert summary.units == [] and summary.notices == ["source msc: 1 not complete yet, left for the next run"]
    path.with_name("a.csv.ok").touch()
    assert taken(looking.look()) == ["a.csv"]


@pytest.mark.parametrize(("quiet_s", "expected"), [(29, False), (30, True)])
def test_a_file_is_taken_in_once_it_has_been_quiet_for_long_enough(quiet_s: int, expected: bool, tmp_path: Path) -> None:
    project = project_in(tmp_path, 'complete = "quiet"\nquiet = "30s"\n')
    land(project, "a.csv", NOW - timedelta(seconds=quiet_s))
    assert (Watch(project, clock=lambda: NOW).look() is not None) == expected


def test_watching_ends_when_told_to(tmp_path: Path) -> None:
    project, stop, told = project_in(tmp_path), threading.Event(), list[IngestSummary]()
    land(project, "a.csv")

    def tell(summary: IngestSummary) -> None:
        told.append(summary)
        stop.set()

    watch(project, every=timedelta(milliseconds=1), clock=lambda: NOW, stop=stop, report=tell)
    assert [taken(summary) for summary in told] == [["a.csv"]]


def test_the_command_takes_in_what_lands_until_it_is_asked_to_end(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    asked = [sys.executable, "-m", "trueup.cli", "ingest", "--watch", "--every", "50ms", "--project", str(tmp_path)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        land(project, "a.csv")
        assert process.stdout is not None
        told = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert told == "took in 1 file, 1 record: 1 accepted, 0 duplicate, 0 quarantined; 0 files known already\n"


def test_a_clock_that_becomes_wrong_is_told_once_and_what_landed_is_taken_in_when_it_is_right(tmp_path: Path) -> None:
    project, stop, told = project_in(tmp_path), threading.Event(), list[IngestSummary]()
    land(project, "a.csv")
    ingest(project, clock=lambda: NOW)
    land(project, "b.csv")
    # The first is that of the start; then the clock runs ahead for some looks.
    times = iter([NOW] * 4 + [NOW + timedelta(days=9)] * 40)

    def tell(summary: IngestSummary) -> None:
        told.append(summary)
        if not summary.errors:
            stop.set()

    watch(project, every=timedelta(milliseconds=1), clock=lambda: next(times, NOW), stop=stop, report=tell)
    refused, done = told
    assert [type(error) for error in refused.errors] == [ClockError] and refused.units == []
    assert taken(done) == ["b.csv"]


def test_watching_does_not_begin_with_a_wrong_clock(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    land(project, "a.csv")
    ingest(project, clock=lambda: NOW)
    with pytest.raises(ClockError):
        watch(project, clock=lambda: NOW - timedelta(hours=1), stop=threading.Event(), report=lambda _: None)


def test_a_file_that_lands_after_days_of_silence_is_no_jump_of_the_clock(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    land(project, "a.csv")
    moments = [NOW + timedelta(hours=hours) for hours in range(0, 24 * 5, 6)]
    looking = Watch(project, clock=lambda: moments[0])
    assert taken(looking.look()) == ["a.csv"]
    while len(moments) > 1:
        moments.pop(0)
        assert looking.look() is None
    land(project, "b.csv")
    assert taken(looking.look()) == ["b.csv"]
