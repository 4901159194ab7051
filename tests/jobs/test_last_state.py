"""The newest complete state of a continuous job is found while Flink removes other files, and is discarded on request only."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import lake_fixture
import pytest
from streaming import project_with, random_log

from trueup.cli import main
from trueup.config import Project
from trueup.errors import LogError
from trueup.jobs import state_folder as state_folder_module
from trueup.jobs.state_folder import discard_state, last_state, state_folder
from trueup.log.lake import Lake
from trueup.reconcile.run import reconcile_little


def state(folder: Path, name: str, at_s: int) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "_metadata").touch()
    os.utime(path / "_metadata", (at_s, at_s))
    return path


def test_the_newest_checkpoint_or_savepoint_is_the_last_state(tmp_path: Path) -> None:
    assert last_state(tmp_path) is None
    state(tmp_path, "checkpoints/job/chk-1", 1)
    newest = state(tmp_path, "savepoints/savepoint-2", 3)
    state(tmp_path, "checkpoints/job/chk-2", 2)
    (tmp_path / "checkpoints/job/chk-3").mkdir()
    assert last_state(tmp_path) == newest


def test_folders_that_vanish_during_the_search_do_not_stop_it(tmp_path: Path) -> None:
    newest = state(tmp_path, "checkpoints/job/chk-1", 1)
    end = threading.Event()

    def churn() -> None:
        while not end.is_set():
            for parent in ("tmp", "checkpoints/job"):
                folder = tmp_path / parent / "flink-netty-shuffle" / "inner"
                folder.mkdir(parents=True)
                folder.rmdir()
                folder.parent.rmdir()

    remover = threading.Thread(target=churn)
    remover.start()
    try:
        assert {last_state(tmp_path) for _ in range(500)} == {newest}
    finally:
        end.set()
        remover.join()


def reconciled(folder: Path) -> Project:
    """Return a project that is reconciled up to its newest position, so that a job that is to catch up has nothing to do."""
    log, rows = random_log("fresh", size=3)
    project = project_with(folder, log, rows, len(log))
    assert reconcile_little(project, clock=lake_fixture.clock) is not None
    return project


def start(project: Project, *options: str) -> int:
    return main(["stream", "--until-idle", "--no-score", "--project", str(project.directory), *options])


def test_a_fresh_start_discards_what_the_job_wrote_and_no_other_file(tmp_path: Path) -> None:
    project, folder = reconciled(tmp_path / "project"), tmp_path / "shared"
    state(folder, "checkpoints/job/chk-1", 1)
    (folder / "shelves/0-7").mkdir(parents=True)
    for name in ("progress.json", "notes.txt", "flink.log"):
        (folder / name).touch()
    assert start(project, "--fresh", "--state", str(folder)) == 0
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_fresh_start_beside_a_running_job_is_refused_and_leaves_the_state_of_that_job(tmp_path: Path) -> None:
    project = reconciled(tmp_path)
    newest = state(tmp_path, "stream/checkpoints/job/chk-1", 1)
    with Lake.open(project) as lake, lake.reconciler_lock():
        assert start(project, "--fresh") == 2
    assert last_state(tmp_path / "stream") == newest


def test_a_state_that_cannot_be_discarded_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(state_folder_module.shutil, "rmtree", refuse)
    state(tmp_path, "checkpoints/job/chk-1", 1)
    with pytest.raises(LogError, match="the state of the stream cannot be removed: Permission denied"):
        discard_state(tmp_path)


def test_a_state_folder_may_be_named_from_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = reconciled(tmp_path / "project")
    assert state_folder(project, Path("state")).as_uri() == (tmp_path / "state").as_uri()
    assert state_folder(project) == tmp_path / "project/stream"
