"""A small operator whose files the documents' commands and queries read, made once."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from shell import run_in_shell
from snippets import ROOT

RULE = """
[[fraud.rule]]
name = "many-calls"
kind = "velocity"
feature = "sub_outgoing_24h"
above = 20
"""
DAMAGED = "X-1,not a time\n"


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a reconciled operator of a few days, with a record in quarantine and a rule that finds transactions suspicious."""
    folder = tmp_path_factory.mktemp("operator")
    run_in_shell("trueup simulate demo --subscribers 60 --days 3 --seed 7", folder)
    with (folder / "demo/trueup.toml").open("a", encoding="utf-8") as file:
        file.write(RULE)
    first = min((folder / "demo/landing/msc").iterdir())
    with first.open("a", encoding="utf-8") as file:
        file.write(DAMAGED)
    run_in_shell("trueup run --project demo", folder)
    return folder


@pytest.fixture
def copy_of_operator(operator: Path, tmp_path: Path) -> Path:
    """Copy the operator to a folder of the test's own."""
    shutil.copytree(operator / "demo", tmp_path / "demo")
    return tmp_path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a folder with the examples, as in a clone of the repository."""
    for example in ("wholesale", "asterisk"):
        kept = shutil.ignore_patterns("lake", "quality", "*.duckdb*", "models")
        shutil.copytree(ROOT / "examples" / example, tmp_path / "examples" / example, ignore=kept)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    return tmp_path
