"""The small project, taken through the whole path once a session and copied for each test that changes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_project import take_through, write_files


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return take_through(write_files(tmp_path_factory.mktemp("proof") / "template")).directory


@pytest.fixture
def verified_lake(_template: Path, tmp_path: Path) -> Path:
    """The folder of a copy of the small project, ingested, reconciled, scored and decided on; nothing in it was changed."""
    return Path(shutil.copytree(_template, tmp_path / "project"))
