"""Fixtures of the fraud tests: a small operator, and the Fraud Detection Handbook's transactions."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trueup.config import Project

if TYPE_CHECKING:
    from small_operator import Scored


@pytest.fixture(scope="session")
def _operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_operator import operator_with_model

    return operator_with_model(tmp_path_factory.mktemp("robbed") / "operator")


@pytest.fixture
def operator(_operator: Path, tmp_path: Path) -> Project:
    """Return the small operator with a trained model that is not promoted."""
    return Project.load(shutil.copytree(_operator, tmp_path / "operator"))


@pytest.fixture(scope="session")
def _disorderly(_operator: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_operator import disordered_operator

    return disordered_operator(tmp_path_factory.mktemp("disorderly") / "operator", _operator / "models")


@pytest.fixture
def disorderly(_disorderly: Path, tmp_path: Path) -> Project:
    """Return the small operator with late and repeated records, and a model in force."""
    return Project.load(shutil.copytree(_disorderly, tmp_path / "disorderly"))


@pytest.fixture(scope="session")
def scored(_disorderly: Path, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """Return the disorderly operator after one scoring run over its log; tests only read it."""
    from small_operator import scored_once

    return scored_once(shutil.copytree(_disorderly, tmp_path_factory.mktemp("scored") / "operator"))


@pytest.fixture(scope="session")
def fdh() -> Path:
    """Return the folder of the Fraud Detection Handbook's simulated card transactions and window features."""
    configured = os.environ.get("FDH_DATA")
    shared = os.environ.get("TRUEUP_SHARED_DATA")
    default = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(configured) if configured else (Path(shared) if shared else default) / "fdh"
    if not (folder / "transactions.parquet").is_file():
        pytest.skip("there are no Fraud Detection Handbook transactions; set FDH_DATA to their folder")
    return folder
