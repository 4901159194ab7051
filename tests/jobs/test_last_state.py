"""The newest complete state of a continuous job is found while Flink removes other files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from trueup.jobs.flink_client import last_state


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
