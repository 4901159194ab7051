"""The guard of the suite detects a secret of the environment in every output of a test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LEAKS = {
    "a print": "def test_it():\n    print(os.environ['TRUEUP_PLANTED_SECRET'])",
    "a log line": "def test_it():\n    logging.warning(os.environ['TRUEUP_PLANTED_SECRET'])",
    "a traceback": "def test_it():\n    raise ValueError(os.environ['TRUEUP_PLANTED_SECRET'])",
    "output that the test reads": "def test_it(capsys):\n    print(os.environ['TRUEUP_PLANTED_SECRET'])\n    capsys.readouterr()",
    "a process": "def test_it():\n    subprocess.run(['printenv'], capture_output=True)",
    "a file": "def test_it(tmp_path):\n    (tmp_path / 'x.log').write_text(os.environ['TRUEUP_PLANTED_SECRET'])",
}


def test_a_leak_of_each_kind_fails_the_test_that_leaks_and_is_not_repeated(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A separate secret: that of the suite must not leak even here.
    monkeypatch.setenv("TRUEUP_PLANTED_SECRET", "Pl4nted-in-the-inner-run")
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text("utf-8").replace('pytest_plugins = ["pytester"]', ""))
    names = {what: what.replace(" ", "_") for what in LEAKS}
    for what, name in names.items():
        body = f"import logging, os, subprocess\n{LEAKS[what].replace('test_it', f'test_{name}')}\n"
        pytester.makepyfile(**{f"test_{name}": body})
    pytester.makepyfile(test_sound="def test_sound(capsys):\n    print('nothing')\n    assert capsys.readouterr().out")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-rA")
    outcomes = {
        report.nodeid.split("::")[1]
        for report in result.reprec.getreports()
        if getattr(report, "failed", False) and "::" in report.nodeid
    }  # type: ignore[attr-defined]
    assert {f"test_{name}" for what, name in names.items() if what != "a file"} <= outcomes
    assert result.ret == 1
    text = result.stdout.str()
    assert "x.log" in text
    assert "PASSED test_sound.py::test_sound" in text
    assert os.environ["TRUEUP_PLANTED_SECRET"] not in text
