"""The Flink scoring job gives the scores of `trueup score`, whichever process is killed meanwhile."""

from __future__ import annotations

import os
import signal

import pytest
import streaming
from small_operator import Scored, model_of, put_in_force
from test_pieces import assert_scored_alike, copied

from trueup.config import Project
from trueup.fraud.scoring.score_run import CONSUMER, score
from trueup.log.lake import Lake


def position(project: Project) -> int:
    """Return the position up to which records are scored."""
    with Lake.open(project, read_only=True) as lake:
        return lake.consumer_position(CONSUMER)


def test_the_job_gives_the_scores_of_one_run_and_resumes_with_its_windows(disorderly: Project) -> None:
    other = copied(disorderly, "other")
    streaming.catch_up(other, "--score", "--epoch-commits", "6", "--parallelism", "2", "--groups", "3")
    assert "scored positions 1 to" in streaming.log_text(other), streaming.log_text(other)
    for project in (disorderly, other):
        with Lake.open(project, read_only=True) as lake:
            newest = lake.last_position()
        put_in_force(project, "challenger", since=newest)
    streaming.catch_up(other, "--score", "--parallelism", "1", "--groups", "3")
    score(disorderly)
    assert_scored_alike(disorderly, other)


@pytest.mark.slow
def test_the_job_reports_that_no_model_is_in_force_and_uses_one_promoted_while_it_runs(operator: Project) -> None:
    path = operator.directory / "trueup.toml"
    text = path.read_text("utf-8").split("[[fraud.rule]]")[0]
    path.write_text(text.replace("trials = 1\n", 'trials = 1\nown_model = "champion"\n'), "utf-8")
    project = Project.load(operator.directory)
    other, notes = copied(project, "other"), list[str]()
    with streaming.running_here(project, notes, groups=2) as job:
        streaming.wait_for_job(lambda: len(set(streaming.position(project))) == 1, job)
        assert "scoring waits: no model is in force" in notes[0]
        assert f"`own_model` advances beside this job: schedule `trueup score --project {project.directory}`" in notes[1]
        assert position(project) == 0
        put_in_force(project)
        streaming.wait_for_job(lambda: position(project) == streaming.position(project)[1], job)
    assert job.result().scored.to_position == position(project)
    put_in_force(other)
    score(other)
    assert_scored_alike(project, other)


def test_a_damaged_model_ends_the_job_in_one_line(disorderly: Project) -> None:
    trees = disorderly.directory / "models" / model_of(disorderly) / "model.ubj"
    trees.write_bytes(trees.read_bytes()[:-10])
    options = ("--until-idle", "--score", "--groups", "2", "--flink", "restart-strategy.type=none")
    assert streaming.run_command(disorderly, "stream", *options)[0] == 2
    assert "the model is damaged" in streaming.log_text(disorderly).splitlines()[-1]
    assert position(disorderly) == 0


@pytest.mark.slow
@pytest.mark.parametrize("n", range(6))
def test_a_killed_job_loses_repeats_and_changes_no_score(n: int, disorderly: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # The operator's commits have today's time, so the job needs the real clock.
    monkeypatch.delitem(streaming.ENV, "TRUEUP_NOW")
    other = copied(disorderly, "other")
    options = ("--score", "--epoch-commits", str(1 + n % 3), "--groups", "3", "--parallelism", str(1 + n % 2))
    with streaming.running(other, *options) as process:
        streaming.wait_until(lambda: position(other) > 3 + n, process)
        if n % 3 == 0:
            streaming.kill_group(process)
        elif n % 3 == 1:
            for pid in streaming.descendants(process, streaming.WORKER):
                os.kill(pid, signal.SIGKILL)
            streaming.wait_until(lambda: position(other) > 12, process)
        else:
            for pid in streaming.descendants(process, streaming.JAVA):
                os.kill(pid, signal.SIGKILL)
            assert streaming.exit_status(process) == 2, streaming.log_text(other)
    streaming.catch_up(other, "--score", "--groups", "3", "--parallelism", str(2 - n % 2))
    score(disorderly)
    assert_scored_alike(disorderly, other)


@pytest.mark.slow
def test_the_job_resumes_after_scores_of_the_command(disorderly: Project, scored: Scored) -> None:
    streaming.catch_up(disorderly, "--epoch-commits", "20", "--groups", "2")
    assert position(disorderly) == 0
    score(disorderly)
    streaming.catch_up(disorderly, "--score", "--groups", "2")
    assert_scored_alike(scored.project, disorderly)
