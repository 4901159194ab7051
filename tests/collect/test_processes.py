"""Concurrent and killed ingestion processes: the log equals that of one undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from trueup.collect.commit import commit_part
from trueup.collect.ingest import IngestSummary
from trueup.config import Project
from trueup.errors import LogError
from trueup.log.lake import Lake
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

ROOT = Path(__file__).parents[2]
PORTIONS = os.pathsep.join(str(ROOT / portion) for portion in ("pipelines", "models", "expectations", "sql"))
RUN = """
import sys
from datetime import UTC, datetime
import trueup.collect.ingest as taking
from trueup.config import Project
from trueup.errors import TrueupError
taking.PART_RECORDS = 1_000
try:
    summary = taking.ingest(Project.load(sys.argv[1]), clock=lambda: datetime(2024, 6, 1, tzinfo=UTC))
except TrueupError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(sum(unit.accepted for unit in summary.units), len(summary.errors))
"""
LIMITED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
"""
READ = """
import sys
from pathlib import Path
from trueup.config import Project
from trueup.log.lake import Lake
project, answers, before = Project.load(sys.argv[1]), 0, -1
with Lake.open(project, read_only=True) as lake:
    while not Path(sys.argv[2]).exists() or answers < 3:
        query = "SELECT (SELECT count(*) FROM lake.events.usage), (SELECT coalesce(sum(accepted), 0) FROM lake.events.control)"
        rows, accepted = lake.connection.execute(query).fetchall()[0]
        assert rows == accepted and rows >= before, (rows, accepted, before)
        answers, before = answers + 1, rows
print(answers)
"""


def start_process(program: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": PORTIONS}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output_of(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.strip()


def landing(calls: Write, *, files: int = 3, records: int = 2_500) -> Project:
    """Return a project with files that share records, some damaged records in each."""
    lines = [
        f"{n},c{n % 50},2024-05-{1 + n % 28:02} 10:00:{n % 60:02},{n % 90 if n % 97 else 'x'}\n" for n in range(files * records)
    ]
    step = records - records // 10
    parts = {f"{f}.csv": "id,caller,at,seconds\n" + "".join(lines[f * step : f * step + records]) for f in range(files)}
    return calls(parts)


def content(project: Project) -> dict[str, pl.DataFrame]:
    """Return the content of the log that must not depend on interruptions."""
    queries = {
        "events": "SELECT event_id, source_id, source_row FROM lake.events.usage ORDER BY ALL",
        "quarantine": "SELECT event_id, raw, reason FROM lake.events.quarantine ORDER BY ALL",
        "control": "SELECT * EXCLUDE (path) FROM lake.events.control ORDER BY sequence_no",
        "positions": "SELECT position, kind FROM lake.events.position ORDER BY 1",
    }
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("counts", "chains", "units")).sound
        return {name: lake.connection.execute(query).pl() for name, query in queries.items()}


def run_undisturbed(project: Project, tmp_path: Path) -> dict[str, pl.DataFrame]:
    alone = Project(tmp_path / "alone", project.config)
    alone.directory.mkdir(exist_ok=True)
    (alone.directory / "landing").symlink_to(project.directory / "landing")
    (alone.directory / "trueup.toml").write_text((project.directory / "trueup.toml").read_text())
    output_of(start_process(RUN, alone.directory))
    return content(alone)


def is_same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> bool:
    return all(one[name].equals(other[name]) for name in one)


@pytest.fixture(scope="module")
def wanted() -> dict[str, pl.DataFrame]:
    """Return the content of the log after an undisturbed run over the files of `landing`, once a test has computed it."""
    return {}


def run_undisturbed_once(project: Project, tmp_path: Path, wanted: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    wanted.update(wanted or run_undisturbed(project, tmp_path))
    return wanted


def test_two_concurrent_processes_neither_lose_nor_double_a_record(
    calls: Write, tmp_path: Path, wanted: dict[str, pl.DataFrame]
) -> None:
    project = landing(calls)
    both = [start_process(RUN, project.directory) for _ in range(2)]
    answers = [output_of(process).split() for process in both]
    wanted = run_undisturbed_once(project, tmp_path, wanted)
    assert [errors for _, errors in answers] == ["0", "0"]
    assert sum(int(accepted) for accepted, _ in answers) == wanted["events"].height
    found = content(project)
    assert found["quarantine"].equals(wanted["quarantine"])
    assert found["events"]["event_id"].equals(wanted["events"]["event_id"])


def kill_and_run_again(calls: Write, tmp_path: Path, kills: int, seed: int) -> dict[str, pl.DataFrame]:
    """Kill runs at random moments, run them again and compare; return the content after an undisturbed run."""
    project = landing(calls)
    chance = random.Random(seed)
    begun = time.monotonic()
    wanted = run_undisturbed(project, tmp_path)
    took_s = time.monotonic() - begun
    killed = 0
    for number in range(kills):
        again = Project(tmp_path / f"killed {number}", project.config)
        again.directory.mkdir()
        (again.directory / "landing").symlink_to(project.directory / "landing")
        (again.directory / "trueup.toml").write_text((project.directory / "trueup.toml").read_text())
        process = start_process(RUN, again.directory)
        time.sleep(chance.uniform(0.2, 0.95) * took_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        output_of(start_process(RUN, again.directory))
        assert is_same(content(again), wanted), number
    assert killed
    return wanted


def test_a_run_killed_at_any_moment_and_repeated_equals_an_undisturbed_run(
    calls: Write, tmp_path: Path, wanted: dict[str, pl.DataFrame]
) -> None:
    wanted.update(kill_and_run_again(calls, tmp_path, 2, 1))


@pytest.mark.slow
def test_thirty_killed_and_repeated_runs_equal_undisturbed_ones(calls: Write, tmp_path: Path) -> None:
    kill_and_run_again(calls, tmp_path, 30, 2)


def test_a_reader_in_another_process_always_gets_an_answer(calls: Write, tmp_path: Path) -> None:
    project = landing(calls, files=2)
    Lake.create(project)
    stop = tmp_path / "stop"
    readers = [start_process(READ, project.directory, stop) for _ in range(2)]
    try:
        output_of(start_process(RUN, project.directory))
    finally:
        stop.touch()
    assert all(int(output_of(reader)) >= 3 for reader in readers)


def test_a_full_disk_leaves_no_half_part_and_the_next_run_resumes(
    calls: Write, tmp_path: Path, wanted: dict[str, pl.DataFrame]
) -> None:
    project = landing(calls)
    Lake.create(project)
    full = start_process(LIMITED + RUN, project.directory)
    _, errors = full.communicate(timeout=300)
    assert full.returncode == 1
    assert errors.startswith("LogError: ")
    assert len(errors.strip().splitlines()) == 1
    content(project)
    output_of(start_process(RUN, project.directory))
    wanted = run_undisturbed_once(project, tmp_path, wanted)
    assert content(project)["events"].equals(wanted["events"])


def test_a_commit_that_fails_in_the_middle_leaves_no_row(calls: Write, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    project = landing(calls, files=1, records=50)

    def full(row: object) -> pl.DataFrame:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(LogError, match="No space left on device"):
        patch.setattr(commit_part, "frame_of", full)
        take_in(project)
    found = content(project)
    assert (found["events"].height, found["quarantine"].height, found["control"].height) == (0, 0, 0)
    assert take_in(project).units[0].records == 50
