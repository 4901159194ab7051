"""The Flink job: the findings of the plain call, whatever comes while it runs, and however it ends and begins again."""

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

import pytest
import streaming
from streaming import FACETS, JAVA, WORKER, append, assert_as_told, prepared, project_with, recomputed

from trueup.config import Project
from trueup.log.lake import Lake
from trueup.warehouse.maintain import maintain


@contextmanager
def disturbed(project: Project, kind: str, after_s: float, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A job of which something is killed after a while."""
    with streaming.running(project, *options) as process:
        yield process
        time.sleep(after_s)
        if kind == "worker":
            for pid in streaming.descendants(process, WORKER):
                os.kill(pid, signal.SIGKILL)
        elif kind == "java":
            for pid in streaming.descendants(process, JAVA):
                os.kill(pid, signal.SIGKILL)
            # Without its Java the client ends by itself, in one line.
            assert streaming.ended(process) == 2, streaming.said(project)


def test_the_findings_are_those_of_the_plain_call_with_appends_and_after_a_stop_with_another_parallelism(tmp_path: Path) -> None:
    log, rows = prepared("appends")
    third = len(log) // 3
    project = project_with(tmp_path, log, rows, third)
    with streaming.running(project, "--epoch-commits", "3", "--parallelism", "2", "--groups", "4") as process:
        append(project, log, rows, third + 1, 2 * third - 2, wait_s=0.05)
        maintain(project)
        append(project, log, rows, 2 * third - 1, 2 * third)
        streaming.waited_for(lambda: streaming.position(project) == (2 * third, 2 * third), process)
        assert_as_told(project)
        process.send_signal(signal.SIGTERM)
        assert streaming.ended(process) == 0, streaming.said(project)
    assert "reconciled positions 1 to" in streaming.said(project)
    assert [p.name for p in (tmp_path / "stream" / "savepoints").iterdir()]
    append(project, log, rows, 2 * third + 1, len(log))
    streaming.caught_up(project, "--epoch-commits", "50", "--parallelism", "1", "--groups", "4")
    assert "with the state in" in streaming.said(project)
    assert_as_told(project)
    plain = recomputed(project, "plain")
    assert recomputed(project, None) == plain
    assert recomputed(project, "stream") == plain


def test_a_killed_job_goes_on_and_without_its_state_makes_it_of_the_log_again(tmp_path: Path) -> None:
    log, rows = prepared("killed")
    quarter = len(log) // 4
    project = project_with(tmp_path, log, rows, quarter)
    with streaming.running(project, "--epoch-commits", "1") as process:
        streaming.waited_for(lambda: streaming.position(project)[0] >= quarter // 2, process)
        streaming.kill_group(process)
    append(project, log, rows, quarter + 1, 2 * quarter)
    with streaming.running(project, "--epoch-commits", "3") as process:
        streaming.waited_for(lambda: streaming.position(project)[0] > quarter, process)
        for pid in streaming.descendants(process, WORKER):
            os.kill(pid, signal.SIGKILL)
        append(project, log, rows, 2 * quarter + 1, 3 * quarter)
        streaming.waited_for(lambda: streaming.position(project)[0] == 3 * quarter, process)
        for pid in streaming.descendants(process, JAVA):
            os.kill(pid, signal.SIGKILL)
        assert streaming.ended(process) == 2
    assert "Java" in streaming.said(project).splitlines()[-1] and "Traceback" not in streaming.said(project)
    assert_as_told(project)
    shutil.rmtree(tmp_path / "stream")
    append(project, log, rows, 3 * quarter + 1, len(log))
    former = tmp_path / "stream" / "shelves" / "0-31"
    former.mkdir(parents=True)
    (former / "of-two-groups.hashes").write_bytes(b"keys")
    # There are no more groups than buckets, however many are asked for.
    streaming.caught_up(project, "--groups", "100")
    assert_as_told(project)
    assert not former.exists()


def test_one_reconciler_at_a_time_holds_a_lake(tmp_path: Path) -> None:
    log, rows = prepared("held", size=3)
    project = project_with(tmp_path, log, rows, len(log))
    with Lake.open(project) as lake, lake.reconciler_lock():
        assert streaming.ran(project, "stream", "--until-idle", "--no-score")[0] == 2
    assert "another reconciler" in streaming.said(project)
    assert streaming.position(project)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("n", range(30))
def test_a_kill_at_any_moment_loses_repeats_and_changes_nothing(n: int, tmp_path: Path) -> None:
    rng = random.Random(f"kill/{n}")
    kind = ("whole", "worker", "java")[n % 3]
    log, rows = prepared(f"kill/{n}")
    half = len(log) // 2
    project = project_with(tmp_path, log, rows, half)
    commits = rng.choice(("1", "3", "50"))
    with disturbed(project, kind, rng.uniform(0, 6), "--epoch-commits", commits, "--parallelism", rng.choice("12")) as process:
        # Kills are at random from when it works; what comes before is of no interest.
        streaming.waited_for(lambda: streaming.descendants(process, WORKER) != [], process)
        append(project, log, rows, half + 1, (half + len(log)) // 2)
    append(project, log, rows, (half + len(log)) // 2 + 1, len(log))
    streaming.caught_up(project, "--epoch-commits", rng.choice(("1", "3", "50")), "--parallelism", rng.choice("124"))
    assert_as_told(project)


@pytest.mark.slow
@pytest.mark.parametrize("parallelism", ["1", "2", "4"])
@pytest.mark.parametrize("commits", ["1", "3", "50"])
def test_epochs_of_any_size_and_any_parallelism_tell_the_same(commits: str, parallelism: str, tmp_path: Path) -> None:
    log, rows = prepared(f"sizes/{commits}/{parallelism}", (*FACETS, "policies"))
    project = project_with(tmp_path, log, rows, len(log))
    streaming.caught_up(project, "--epoch-commits", commits, "--parallelism", parallelism)
    assert_as_told(project)
