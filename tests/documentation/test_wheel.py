"""The wheel works in an empty environment: help, a project from two files, and a run of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from snippets import ROOT

pytestmark = pytest.mark.slow
DATA = ROOT / "examples/wholesale/data"


def built_wheel(folder: Path) -> Path:
    """Build the wheel as `make wheel` does."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def package_files() -> set[str]:
    """Return the files of the package as git knows them: a pattern of .gitignore would keep them out of the wheel."""
    folders = ("pipelines", "models", "expectations", "sql")
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {name.partition("/")[2] for name in listed.split("\0") if name}


def test_the_wheel_installs_into_an_empty_environment_and_finds_the_unbilled_records(tmp_path: Path) -> None:
    wheel, environment = built_wheel(tmp_path / "dist"), tmp_path / "environment"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert {name for name in names if ".dist-info/" not in name} == package_files()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert {line.removeprefix("Provides-Extra: ") for line in metadata.splitlines() if line.startswith("Provides-Extra")} == set(
        extras
    )

    venv.create(environment, symlinks=True)
    uv, python = Path(sys.executable).with_name("uv"), environment / "bin/python"
    # Great Expectations validates days, and `run` needs it; the other extras are not installed.
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, f"{wheel}[quality]"], check=True, cwd=tmp_path)
    trueup = environment / "bin/trueup"
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def call(*arguments: object) -> str:
        done = subprocess.run([trueup, *map(str, arguments)], cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "reconcile" in call("--help")
    call("init", "revenue", "--from", DATA / "network_usage_raw.csv", DATA / "billing_transaction.csv")
    assert "trueup[fraud] is not installed" in call("run", "--project", "revenue")
    call("close", "--source", "billing_transaction", "--through", "2022-01-04", "--project", "revenue")
    call("run", "--project", "revenue")
    assert "634236.866" in call(
        "sql", "--project", "revenue", "select round(sum(impact), 3) loss from findings where kind = 'unbilled'"
    )
