"""Tiny worlds of transactions, and the features' meaning as a brute-force program."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from trueup.config import Project


@pytest.fixture(scope="session")
def _operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_operator import trained_in

    return trained_in(tmp_path_factory.mktemp("robbed") / "operator")


@pytest.fixture
def operator(_operator: Path, tmp_path: Path) -> Project:
    """The robbed operator, with a model that nobody has promoted yet."""
    return Project.load(shutil.copytree(_operator, tmp_path / "operator"))


@pytest.fixture(scope="session")
def _disorderly(_operator: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_operator import disordered_in

    return disordered_in(tmp_path_factory.mktemp("disorderly") / "operator", _operator / "models")


@pytest.fixture
def disorderly(_disorderly: Path, tmp_path: Path) -> Project:
    """The robbed operator with its records in disorder, and a model in force."""
    return Project.load(shutil.copytree(_disorderly, tmp_path / "disorderly"))


@pytest.fixture(scope="session")
def fdh() -> Path:
    """The Fraud Detection Handbook's simulated card transactions, with its own window features."""
    told = os.environ.get("FDH_DATA")
    shared = os.environ.get("TRUEUP_SHARED_DATA")
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(told) if told else (Path(shared) if shared else beside) / "fdh"
    if not (folder / "transactions.parquet").is_file():
        pytest.skip("there are no Fraud Detection Handbook transactions; set FDH_DATA to their folder")
    return folder
