"""Fixtures: the small project, processed once per session and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_project import process_all, write_files


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return process_all(write_files(tmp_path_factory.mktemp("proof") / "template")).directory


@pytest.fixture
def verified_lake(_template: Path, tmp_path: Path) -> Path:
    """Return the folder of an unchanged copy of the small project, ingested, reconciled, scored and decided on."""
    return Path(shutil.copytree(_template, tmp_path / "project"))
