"""A tiny project of two CSV files, processed once from ingestion to publication by the commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from trueup.cli import main

NOW = "2024-03-05T00:00:00+00:00"
TOML = """
[project]
timezone = "Asia/Jakarta"
currency = "IDR"

[[source]]
name = "msc"
stream = "usage"
path = "landing/msc/*.csv"
columns = { record_key = "id", session_key = "id", subscriber = "caller", started_at = "start", quantity = "seconds" }
constants = { service = "voice" }

[[source]]
name = "billing"
stream = "charge"
path = "landing/billing.csv"
constants = { service = "voice" }
[source.columns]
record_key = "line"
session_key = "call"
subscriber = "caller"
started_at = "start"
quantity = "seconds"
amount = "amount"

[reconcile.voice]
match = ["session_key"]
price = "10"
grace = "1h"

[quality]
quarantine_share = "1"
"""
USAGE = """id,caller,start,seconds
u1,A1,2024-03-01 10:00:00,3
u2,A1,2024-03-01 10:05:00,10
u3,A2,2024-03-01 10:10:00,5.5
u4,A2,yesterday,5
"""
CHARGES = """line,call,caller,start,seconds,amount
c1,u1,A1,2024-03-01 10:00:00,3,30
c3,u3,A2,2024-03-01 10:10:00,2,20.25
"""


@dataclass(frozen=True)
class CommandResult:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str


Invoke = Callable[..., CommandResult]


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Return a function that runs one command in this process."""

    def run(*arguments: object) -> CommandResult:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        result = capsys.readouterr()
        return CommandResult(status, result.out, result.err)

    return run


def write_project(folder: Path) -> Path:
    """Write the files of the tiny project."""
    (folder / "landing/msc").mkdir(parents=True)
    (folder / "trueup.toml").write_text(TOML, "utf-8")
    (folder / "landing/msc/a.csv").write_text(USAGE, "utf-8")
    (folder / "landing/billing.csv").write_text(CHARGES, "utf-8")
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Return the tiny project before any command."""
    return write_project(tmp_path / "fresh")


@pytest.fixture(scope="session")
def _done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("cli") / "done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_NOW", NOW)
        assert main(["ingest", "--project", str(folder)]) == 0
        for source in ("msc", "billing"):
            assert main(["close", "--source", source, "--through", "2024-03-01", "--project", str(folder)]) == 0
        assert main(["run", "--project", str(folder)]) == 0
    return folder


@pytest.fixture
def done(_done: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the tiny project after `ingest`, both sources closed, and `run`; read-only; its clock is fixed."""
    monkeypatch.setenv("TRUEUP_NOW", NOW)
    return _done


@pytest.fixture
def copied(_done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of `done`, for tests that change it."""
    monkeypatch.setenv("TRUEUP_NOW", NOW)
    return Path(shutil.copytree(_done, tmp_path / "copied"))
