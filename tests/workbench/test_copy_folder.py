"""Copies of the log's data in the temporary folder do not outlast the page, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trueup.workbench.reading.copy_folder import CopyFolder

KILLED = """
import os, signal
from trueup.workbench.reading.copy_folder import CopyFolder
folder = CopyFolder()
(folder.path / "views-1.duckdb").touch()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a test's own folder the temporary folder of the system."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path


def test_a_page_that_starts_deletes_the_copies_of_a_killed_page_only(temporary: Path) -> None:
    running = CopyFolder()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(temporary.iterdir())) == 2
    further = CopyFolder()
    assert set(temporary.iterdir()) == {running.path, further.path}
    running.delete()
    further.delete()
    assert not list(temporary.iterdir())


def test_a_folder_of_another_program_is_kept(temporary: Path) -> None:
    other = temporary / "trueup-workbench-notes"
    other.mkdir()
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    (temporary / "trueup-workbench-link").symlink_to(elsewhere)
    CopyFolder().delete()
    assert other.exists()
    assert (elsewhere / "lock").exists()
