"""The Flink job gives the findings of the plain call, with records appended while it runs, and after every kind of restart."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lake_fixture
import listeners
import pytest
import streaming
from streaming import FACETS, JAVA, WORKER, append, assert_equals_plain_call, digest_lines, project_with, random_log

from trueup.config import Project
from trueup.jobs import flink_client
from trueup.log.lake import Lake
from trueup.warehouse.maintain import maintain


@contextmanager
def killed_later(project: Project, kind: str, after_s: float, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a job of which the workers, the Java process or all processes are killed after some seconds."""
    with streaming.running(project, *options) as process:
        yield process
        time.sleep(after_s)
        if kind == "worker":
            for pid in streaming.descendants(process, WORKER):
                os.kill(pid, signal.SIGKILL)
        elif kind == "java":
            for pid in streaming.descendants(process, JAVA):
                os.kill(pid, signal.SIGKILL)
            # Without its Java process the client ends by itself, with one line.
            assert streaming.exit_status(process) == 2, streaming.log_text(project)


@pytest.mark.slow
def test_appends_and_a_restart_with_another_parallelism_give_the_findings_of_the_plain_call(tmp_path: Path) -> None:
    log, rows = random_log("appends", size=8)
    third = len(log) // 3
    project = project_with(tmp_path, log, rows, third)
    options = ("--epoch-commits", "3", "--parallelism", "2", "--groups", "4", "--metrics-port", "0")
    with streaming.running(project, *options) as process, listeners.observe_listeners(process.pid) as observed:
        append(project, log, rows, third + 1, 2 * third - 2, wait_s=0.05)
        maintain(project)
        append(project, log, rows, 2 * third - 1, 2 * third)
        streaming.wait_until(lambda: streaming.position(project) == (2 * third, 2 * third), process)
        assert_equals_plain_call(project)
        listeners.assert_web_page_accepts_no_code(observed)
        process.send_signal(signal.SIGTERM)
        assert streaming.exit_status(process) == 0, streaming.log_text(project)
    observed.assert_only_loopback(listeners.ports_of_job(parallelism=2))
    assert "reconciled positions 1 to" in streaming.log_text(project)
    assert [p.name for p in (tmp_path / "stream" / "savepoints").iterdir()]
    append(project, log, rows, 2 * third + 1, len(log))
    streaming.catch_up(project, "--epoch-commits", "50", "--parallelism", "1", "--groups", "4")
    assert "state " + str(tmp_path / "stream") in streaming.log_text(project)
    assert_equals_plain_call(project)
    plain = digest_lines(project, "plain")
    assert digest_lines(project, None) == plain
    assert digest_lines(project, "stream") == plain


def test_a_killed_job_resumes_and_a_lost_state_is_rebuilt_from_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_fixture, "BUCKETS", 6)
    log, rows = random_log("killed", size=6)
    third = len(log) // 3
    project = project_with(tmp_path, log, rows, third)
    with streaming.running(project, "--epoch-commits", "1", "--groups", "3") as process:
        streaming.wait_until(lambda: streaming.position(project)[0] >= third // 2, process)
        streaming.kill_group(process)
    append(project, log, rows, third + 1, 2 * third)
    streaming.catch_up(project, "--epoch-commits", "3", "--groups", "3")
    assert_equals_plain_call(project)
    shutil.rmtree(tmp_path / "stream")
    append(project, log, rows, 2 * third + 1, len(log))
    stale = tmp_path / "stream" / "shelves" / "0-1"
    stale.mkdir(parents=True)
    (stale / "of-two-groups.hashes").write_bytes(b"keys")
    # The number of groups is limited by the number of buckets.
    streaming.catch_up(project, "--groups", "100")
    assert_equals_plain_call(project)
    assert not stale.exists()


@pytest.mark.slow
def test_a_job_whose_savepoint_is_late_ends_without_it_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, rows = random_log("late savepoint", size=3)
    project = project_with(tmp_path, log, rows, len(log) - 1)
    with monkeypatch.context() as patch:
        patch.setattr(flink_client, "_STOP_WITHIN_S", 0)
        streaming.catch_up(project)
    assert "the job ended without a savepoint" in streaming.log_text(project)
    append(project, log, rows, len(log), len(log))
    streaming.catch_up(project)
    assert_equals_plain_call(project)


@pytest.mark.slow
def test_the_job_restarts_killed_workers_and_ends_in_one_line_when_java_is_killed(tmp_path: Path) -> None:
    log, rows = random_log("killed")
    half = len(log) // 2
    project = project_with(tmp_path, log, rows, half)
    with streaming.running(project, "--epoch-commits", "3") as process:
        streaming.wait_until(lambda: streaming.position(project)[0] > 0, process)
        for pid in streaming.descendants(process, WORKER):
            os.kill(pid, signal.SIGKILL)
        append(project, log, rows, half + 1, len(log))
        streaming.wait_until(lambda: streaming.position(project)[0] == len(log), process)
        for pid in streaming.descendants(process, JAVA):
            os.kill(pid, signal.SIGKILL)
        assert streaming.exit_status(process) == 2
    assert "Java" in streaming.log_text(project).splitlines()[-1] and "Traceback" not in streaming.log_text(project)
    assert_equals_plain_call(project)


def test_a_second_reconciler_of_a_lake_is_refused(tmp_path: Path) -> None:
    log, rows = random_log("held", size=3)
    project = project_with(tmp_path, log, rows, len(log))
    with Lake.open(project) as lake, lake.reconciler_lock():
        assert streaming.run_command(project, "stream", "--until-idle", "--no-score")[0] == 2
    assert "another reconciler" in streaming.log_text(project)
    assert streaming.position(project)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("n", range(30))
def test_a_kill_at_any_moment_neither_loses_nor_repeats_nor_changes_findings(n: int, tmp_path: Path) -> None:
    rng = random.Random(f"kill/{n}")
    kind = ("all", "worker", "java")[n % 3]
    log, rows = random_log(f"kill/{n}")
    half = len(log) // 2
    project = project_with(tmp_path, log, rows, half)
    commits = rng.choice(("1", "3", "50"))
    with killed_later(project, kind, rng.uniform(0, 6), "--epoch-commits", commits, "--parallelism", rng.choice("12")) as process:
        # The random delay starts when the workers run; a kill during the start tests nothing.
        streaming.wait_until(lambda: streaming.descendants(process, WORKER) != [], process)
        append(project, log, rows, half + 1, (half + len(log)) // 2)
    append(project, log, rows, (half + len(log)) // 2 + 1, len(log))
    streaming.catch_up(project, "--epoch-commits", rng.choice(("1", "3", "50")), "--parallelism", rng.choice("124"))
    assert_equals_plain_call(project)


@pytest.mark.slow
@pytest.mark.parametrize("parallelism", ["1", "2", "4"])
@pytest.mark.parametrize("commits", ["1", "3", "50"])
def test_findings_are_equal_for_any_epoch_size_and_parallelism(commits: str, parallelism: str, tmp_path: Path) -> None:
    log, rows = random_log(f"sizes/{commits}/{parallelism}", (*FACETS, "policies", "counters"))
    project = project_with(tmp_path, log, rows, len(log))
    streaming.catch_up(project, "--epoch-commits", commits, "--parallelism", parallelism)
    assert_equals_plain_call(project)
