"""A command keeps memory that frames have freed for the next frame."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trueup.allocation import KEPT
from trueup.cli.main import main

VARIABLE = "_RJEM_MALLOC_CONF"


def test_a_command_sets_how_long_freed_memory_is_kept_unless_the_user_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, expected in ((None, KEPT), ("dirty_decay_ms:0", "dirty_decay_ms:0")):
        monkeypatch.delenv(VARIABLE, raising=False) if given is None else monkeypatch.setenv(VARIABLE, given)
        assert main(["--version"]) == 0
        assert os.environ[VARIABLE] == expected


def test_frames_are_imported_after_that_is_set() -> None:
    code = (
        "import os, sys; from trueup.cli import main; assert 'polars' not in sys.modules; main(['--version']); "
        f"assert os.environ['{VARIABLE}'] and 'polars' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
