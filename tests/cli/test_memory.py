"""A command keeps memory that frames have freed for the next frame."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trueup.allocation import ENVIRONMENT
from trueup.cli.main import main


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_command_sets_how_memory_is_taken_and_kept_unless_the_user_has(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for given, expected in ((None, ENVIRONMENT[name]), ("set by the user", "set by the user")):
        monkeypatch.delenv(name, raising=False) if given is None else monkeypatch.setenv(name, given)
        assert main(["--version"]) == 0
        assert os.environ[name] == expected


def test_frames_and_arrays_are_imported_after_that_is_set() -> None:
    code = (
        "import os, sys; from trueup.cli import main; assert not {'polars', 'numpy'} & set(sys.modules); main(['--version']); "
        f"assert {ENVIRONMENT!r}.items() <= os.environ.items() and not {{'polars', 'numpy'}} & set(sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
