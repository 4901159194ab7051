"""A command that a signal ends deletes its temporary files, which hold copies of the log's data."""

from __future__ import annotations

import os
import signal
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from trueup.cli import main
from trueup.cli.commands.stream import interrupted
from trueup.cli.exit_codes import FAILED

MODULE = import_module("trueup.cli.main")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_a_signal_ends_deletes_its_temporary_files(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def copy_views(_: list[str]) -> int:
        with TemporaryDirectory(dir=tmp_path):
            os.kill(os.getpid(), number)
        raise AssertionError("the signal had no effect")

    monkeypatch.setattr(MODULE, "_run", copy_views)
    handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, handler)
    try:
        assert main(["status"]) == FAILED
        assert "committed work is kept" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
        assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_asks_a_continuous_command_to_stop(number: signal.Signals) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with interrupted() as stop:
            os.kill(os.getpid(), number)
            assert stop.wait(10)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_the_caller_ignores_remains_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(MODULE, "_run", lambda _: os.kill(os.getpid(), signal.SIGHUP) or 0)
        assert main(["status"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
