"""Watching: complete files are ingested as they land, each once."""

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


def list_taken(summary: IngestSummary | None) -> list[str]:
    assert summary is not None and not summary.errors
    return [Path(unit.path).name for unit in summary.units if unit.outcome == "taken"]


def test_new_files_are_ingested_and_known_ones_are_not_read_again(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    looking = Watch(project, clock=lambda: NOW)
    assert looking.look() is None
    land(project, "a.csv")
    assert list_taken(looking.look()) == ["a.csv"]
    assert looking.look() is None
    land(project, "b.csv")
    assert list_taken(looking.look()) == ["b.csv"]
    assert list_taken(Watch(project, clock=lambda: NOW).look()) == []


def test_a_refused_file_is_reported_once_and_again_after_a_change(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    looking = Watch(project, clock=lambda: NOW)
    (tmp_path / "landing" / "bad.csv").write_text("other,header\n1,2\n", "utf-8")
    first = looking.look()
    assert first is not None and len(first.errors) == 1
    assert looking.look() is None
    land(project, "bad.csv")
    assert list_taken(looking.look()) == ["bad.csv"]


def test_a_folder_that_vanishes_is_reported_once_each_time(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    landing, elsewhere = tmp_path / "landing", tmp_path / "elsewhere"
    looking = Watch(project, clock=lambda: NOW)
    landing.rename(elsewhere)
    assert looking.look() is None
    elsewhere.rename(landing)
    land(project, "a.csv")
    assert list_taken(looking.look()) == ["a.csv"]
    for _ in range(2):
        landing.rename(elsewhere)
        summary = looking.look()
        assert summary is not None
        assert [error.what.partition(",")[0] for error in summary.errors] == ["the folder of source msc does not exist any more"]
        assert looking.look() is None
        elsewhere.rename(landing)
        assert looking.look() is None


def test_a_file_is_left_until_its_marker_arrives(tmp_path: Path) -> None:
    project = project_in(tmp_path, 'complete = "marker"\nmarker = ".ok"\n')
    looking = Watch(project, clock=lambda: NOW)
    path = land(project, "a.csv")
    assert looking.look() is None
    summary = ingest(project, clock=lambda: NOW)
    assert summary.units == [] and summary.notices == ["source msc: 1 not complete yet, left for the next run"]
    path.with_name("a.csv.ok").touch()
    assert list_taken(looking.look()) == ["a.csv"]


@pytest.mark.parametrize(("quiet_s", "expected"), [(29, False), (30, True)])
def test_a_file_is_ingested_after_its_quiet_period(quiet_s: int, expected: bool, tmp_path: Path) -> None:
    project = project_in(tmp_path, 'complete = "quiet"\nquiet = "30s"\n')
    land(project, "a.csv", NOW - timedelta(seconds=quiet_s))
    assert (Watch(project, clock=lambda: NOW).look() is not None) == expected


def test_watching_ends_on_request(tmp_path: Path) -> None:
    project, stop, reports = project_in(tmp_path), threading.Event(), list[IngestSummary]()
    land(project, "a.csv")

    def report(summary: IngestSummary) -> None:
        reports.append(summary)
        stop.set()

    watch(project, every=timedelta(milliseconds=1), clock=lambda: NOW, stop=stop, report=report)
    assert [list_taken(summary) for summary in reports] == [["a.csv"]]


def test_the_command_ingests_new_files_until_it_is_stopped(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    asked = [sys.executable, "-m", "trueup.cli", "ingest", "--watch", "--every", "50ms", "--project", str(tmp_path)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        land(project, "a.csv")
        assert process.stdout is not None
        reports = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert reports == "ingested 1 file, 1 record: 1 accepted, 0 duplicate, 0 filtered, 0 quarantined; 0 files already ingested\n"


def test_a_clock_that_becomes_wrong_is_reported_once_and_new_files_are_ingested_later(tmp_path: Path) -> None:
    project, stop, reports = project_in(tmp_path), threading.Event(), list[IngestSummary]()
    land(project, "a.csv")
    ingest(project, clock=lambda: NOW)
    land(project, "b.csv")
    # The first time is the time of the start. Then the clock runs ahead for some scans.
    times = iter([NOW] * 4 + [NOW + timedelta(days=9)] * 40)

    def report(summary: IngestSummary) -> None:
        reports.append(summary)
        if not summary.errors:
            stop.set()

    watch(project, every=timedelta(milliseconds=1), clock=lambda: next(times, NOW), stop=stop, report=report)
    refused, done = reports
    assert [type(error) for error in refused.errors] == [ClockError] and refused.units == []
    assert list_taken(done) == ["b.csv"]


def test_watching_does_not_begin_with_a_wrong_clock(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    land(project, "a.csv")
    ingest(project, clock=lambda: NOW)
    with pytest.raises(ClockError):
        watch(project, clock=lambda: NOW - timedelta(hours=1), stop=threading.Event(), report=lambda _: None)


def test_a_file_after_days_without_files_is_not_a_clock_jump(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    land(project, "a.csv")
    moments = [NOW + timedelta(hours=hours) for hours in range(0, 24 * 5, 6)]
    looking = Watch(project, clock=lambda: moments[0])
    assert list_taken(looking.look()) == ["a.csv"]
    while len(moments) > 1:
        moments.pop(0)
        assert looking.look() is None
    land(project, "b.csv")
    assert list_taken(looking.look()) == ["b.csv"]
