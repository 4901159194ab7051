"""SIGKILL at any moment of ingestion and reconciliation leaves no trace after a repeated run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trueup.config import Project
from trueup.jobs.reconcile_batch import derive
from trueup.log.lake import Lake
from trueup.reconcile.results.digest import digests

FILES, ROWS = 4, 400
TOML = """
[lake]
buckets = 8
[[source]]
name = "msc"
stream = "usage"
path = "landing/usage*.csv"
columns = { record_key = "id", session_key = "id", subscriber = "who", peer = "to", started_at = "at", quantity = "seconds" }
constants = { service = "voice" }
[[source]]
name = "bills"
stream = "charge"
path = "landing/charge*.csv"
identity = "position"
[source.columns]
session_key = "id"
subscriber = "who"
peer = "to"
started_at = "at"
quantity = "seconds"
amount = "price"
[source.constants]
service = "voice"
[reconcile.voice]
match = ["session_key", "nearest"]
start_tolerance = "2s"
grace = "1h"
price = "0.01"
"""


def write_project(folder: Path) -> Project:
    """Six hours of calls; one in seven is not billed, one in eleven billed twice, one in thirteen a second too long."""
    landing = folder / "landing"
    landing.mkdir(parents=True)
    (folder / "trueup.toml").write_text(TOML, "utf-8")
    for file in range(FILES):
        usage, charge = ["id,who,to,at,seconds"], ["id,who,to,at,seconds,price"]
        for row in range(ROWS):
            n = file * ROWS + row
            seconds = n % 90
            at = f"2024-05-01 {file:02d}:{row * 60 // ROWS:02d}:{row * 7 % 60:02d}"
            call = f"K{n},99911{n % 40:05d},99899{n % 17:05d},{at}"
            usage.append(f"N{call},{seconds}" if n % 9 == 0 else f"{call},{seconds}")
            billed = seconds + (n % 13 == 0)
            lines = [f"{call},{billed},{billed / 100:.2f}"] * (0 if n % 7 == 0 else 2 if n % 11 == 0 else 1)
            charge += lines
        (landing / f"usage{file}.csv").write_text("\n".join(usage) + "\n", "utf-8")
        (landing / f"charge{file}.csv").write_text("\n".join(charge) + "\n", "utf-8")
    return Project.load(folder)


STEPS = {
    "ingest": "from trueup.collect.ingest import ingest as step",
    "reconcile": "from trueup.jobs.reconcile_batch import reconcile as step",
}


def start(project: Project, step: str) -> subprocess.Popen[str]:
    """Start a process that has imported everything and is about to run the step."""
    code = (
        f"{STEPS[step]}\nfrom trueup.config import Project\nfrom trueup.log.lake import Lake\n"
        f"project = Project.load({str(project.directory)!r})\nLake.create(project)\nprint('go', flush=True)\nstep(project)\n"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == "go\n"
    return process


def run_to_end(project: Project, step: str) -> float:
    """Run the step undisturbed; return its duration in seconds."""
    process, begin = start(project, step), time.monotonic()
    assert process.wait(timeout=300) == 0
    return time.monotonic() - begin


def kill(project: Project, step: str, after_s: float) -> bool:
    """Kill the step after `after_s` seconds; return whether it was still running."""
    process = start(project, step)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def outcome(project: Project) -> dict[str, object]:
    """Return everything that must not depend on a kill; positions do not, because units are ingested in one order."""
    with Lake.open(project, read_only=True) as lake:
        history = lake.connection.execute("SELECT * FROM lake.events.finding").pl()
        counts = lake.connection.execute(
            "SELECT source, sum(records), sum(accepted), sum(duplicate), sum(quarantined), count(*) FROM lake.events.control GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        rows = [
            lake.connection.execute(f"SELECT count(*), count(DISTINCT event_id) FROM lake.events.{t}").fetchone()
            for t in ("usage", "charge")
        ]
        ledger = lake.connection.execute(
            "SELECT service, day, currency, sum(COLUMNS('_micros$')) FROM lake.events.ledger GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return {"digests": digests(history), "changes": history.height, "counts": counts, "rows": rows, "ledger": ledger}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], dict[str, float]]:
    project = write_project(tmp_path_factory.mktemp("undisturbed") / "project")
    took = {step: run_to_end(project, step) for step in STEPS}
    result = outcome(project)
    assert result["changes"] > 200  # type: ignore[operator]
    assert digests(derive(project)) == result["digests"]
    return result, took


def _check_survival(folder: Path, seed: int, undisturbed: tuple[dict[str, object], dict[str, float]]) -> None:
    expected, took = undisturbed
    chance, project = random.Random(seed), write_project(folder / "project")
    victim = "ingest" if seed % 2 else "reconcile"
    if victim == "reconcile":
        run_to_end(project, "ingest")
    kill(project, victim, chance.uniform(0, took[victim]))
    for step in STEPS:
        run_to_end(project, step)
    assert outcome(project) == expected


@pytest.mark.parametrize("seed", range(1))
def test_a_killed_step_run_again_leaves_no_trace(
    seed: int, tmp_path: Path, undisturbed: tuple[dict[str, object], dict[str, float]]
) -> None:
    _check_survival(tmp_path, seed, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_thirty_killed_steps_run_again_leave_no_trace(
    seed: int, tmp_path: Path, undisturbed: tuple[dict[str, object], dict[str, float]]
) -> None:
    _check_survival(tmp_path, seed, undisturbed)


def test_the_traffic_of_these_tests_has_every_kind_of_leak(
    undisturbed: tuple[dict[str, object], dict[str, float]], tmp_path: Path
) -> None:
    project = write_project(tmp_path / "project")
    for step in STEPS:
        run_to_end(project, step)
    kinds = set(derive(project)["kind"].unique().to_list())
    assert {"unbilled", "duplicate_charge", "overbilled", "charge_without_usage"} <= kinds
