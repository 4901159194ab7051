"""Mistakes of users: each is reported in one line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueup.cli.commands import project, status

Invoke = Callable[..., Any]

# Beam and its imports use deprecated functions.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def one_line(result: Any) -> str:
    """Return the one line on stderr of a command that failed."""
    assert result.status == 2
    assert result.err.count("\n") == 1, result.err
    assert "Traceback" not in result.err
    line: str = result.err.removesuffix("\n")
    return line


def test_a_column_missing_from_the_file_is_named_and_the_other_source_is_ingested(invoke: Invoke, fresh: Path) -> None:
    text = (fresh / "trueup.toml").read_text("utf-8")
    (fresh / "trueup.toml").write_text(text.replace('quantity = "seconds" }', 'quantity = "secs" }', 1), "utf-8")
    result = invoke("ingest", "--project", fresh)
    assert "secs" in one_line(result)
    assert "billing" in result.out
    assert "2 accepted" in result.out


def test_a_missing_file_is_named_and_run_continues_with_the_other_sources(invoke: Invoke, fresh: Path) -> None:
    (fresh / "landing/billing.csv").unlink()
    result = invoke("run", "--project", fresh)
    errors = [line for line in result.err.splitlines() if line.startswith("trueup:")]
    assert result.status == 2
    assert len(errors) == 1
    assert "landing/billing.csv" in errors[0]
    assert "ingested 1 file, 4 records: 3 accepted, 0 duplicate, 0 filtered, 1 quarantined" in result.out
    assert (fresh / "leakage.duckdb").exists()


@pytest.mark.parametrize("day", ["2024-02-30", "tomorrow", "", "20240230", "9999-12-31"])
def test_an_invalid_day_is_reported(invoke: Invoke, done: Path, day: str) -> None:
    assert "--through" in one_line(invoke("close", "--source", "msc", "--through", day, "--project", done))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["close", "--source", "mcs", "--through", "2024-03-01"], "there is no source 'mcs'.*msc, billing"),
        (["close", "--source", "msc", "--through", "2042-03-01"], "2042-03-01 is not over.*--through"),
        (["ingest", "mcs"], "there is no source 'mcs'"),
        (["findings", "--from", "soon"], "--from"),
        (["findings", "--kind", "unbiled"], "unknown kind 'unbiled'.*unbilled"),
        (["cases", "--status", "opn"], "unknown status 'opn'.*open.*merged, closed"),
        (["cases", "00", "--owner", "bob"], "options that select cases do not apply to one case"),
        (["ingest", "--every", "banana"], "--every.*--watch"),
        (["picture", "leakage", "00"], "a picture of leakage has no ID"),
        (["picture", "finding", "00", "--currency", "USD"], "a picture of finding has no --currency"),
        (["findings", "--limit", "0"], "--limit"),
        (["findings", "--status", "closed"], "unknown status 'closed'"),
        (["sql"], "QUERY"),
        (["sql", "select 1", "--format", "xml"], "xml"),
        (["sql", "select 1", "--as-of", "99"], "no position 99"),
        (["sql", "select 1", "--as-of", "lately"], "not a position, time or day"),
        (["sql", "select nothing"], "nothing"),
        (["explain", "zz"], "invalid id"),
        (["explain", "00ff00ff"], "no finding, event or fraud case"),
        (["decide", "00ff00ff", "confirmed"], "no finding"),
        (["decide", "00ff00ff", "forgotten"], "unknown decision"),
        (["digest", "--recompute", "magic"], "magic"),
        (["reconcile", "now"], "runner option"),
        (["reconcile", "--from", "2024-3-1"], "--from"),
        (["publish", "/no/such/folder/x.duckdb"], "no such folder"),
        (["status", "--frobnicate"], "frobnicate"),
    ],
)
def test_a_wrong_argument_is_reported_in_one_line(invoke: Invoke, done: Path, arguments: list[str], message: str) -> None:
    assert re.search(message, one_line(invoke(*arguments, "--project", done)))


def test_a_path_that_no_command_can_read_is_reported(invoke: Invoke, done: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "loop" in one_line(invoke("init", tmp_path / "new", "--from", tmp_path / "loop"))
    os.mkfifo(tmp_path / "pipe")
    command = ("recover", "--kind", "unbilled", "--out", tmp_path / "out.csv", "--template", tmp_path / "pipe", "--project", done)
    assert "this is a named pipe" in one_line(invoke(*command))


@pytest.mark.parametrize("arguments", [["frobnicate"], ["--frobnicate"], ["simulate", "--days", "0"]])
def test_an_unknown_command_is_reported_in_one_line(invoke: Invoke, arguments: list[str]) -> None:
    one_line(invoke(*arguments))


def test_a_folder_without_a_project_is_reported(invoke: Invoke, tmp_path: Path) -> None:
    assert "trueup init" in one_line(invoke("status", "--project", tmp_path))
    (tmp_path / "trueup.toml").write_text("[lake\n", "utf-8")
    assert "TOML" in one_line(invoke("status", "--project", tmp_path))
    (tmp_path / "trueup.toml").write_text("[lake]\nbukets = 3\n", "utf-8")
    assert "bukets" in one_line(invoke("status", "--project", tmp_path))


def test_init_in_an_unwritable_place_is_reported(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one_line(invoke("init", tmp_path / "file" / "project"))


def test_a_missing_package_is_reported_with_its_extra(invoke: Invoke, done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trueup.jobs.reconcile_batch", None)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    # With runner options the engine does the work, even for few records.
    result = one_line(invoke("reconcile", "--project", done, "--", "--direct_num_workers=1"))
    assert "trueup.jobs" in result
    monkeypatch.delitem(sys.modules, "trueup.jobs.reconcile_batch")
    assert "install trueup[batch]" in one_line(invoke("reconcile", "--project", done, "--", "--direct_num_workers=1"))


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), RuntimeError("Query interrupted")])
def test_an_interrupt_is_reported_in_one_line(
    invoke: Invoke, done: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    def interrupted(_: Path) -> None:
        raise raised

    monkeypatch.setattr(status, "load", interrupted)
    assert "interrupted" in one_line(invoke("status", "--project", done))


def test_an_unexpected_error_is_one_line_unless_debugging(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr(project, "files", broken)
    assert "ZeroDivisionError: first line; set TRUEUP_DEBUG=1" in one_line(invoke("init", tmp_path / "new"))
    monkeypatch.setenv("TRUEUP_DEBUG", "1")
    result = invoke("init", tmp_path / "new")
    assert result.status == 2
    assert "Traceback" in result.err and "second line" in result.err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("Out of Memory Error: failed to allocate data of size 16.0 MiB")])
def test_too_little_memory_is_one_line(invoke: Invoke, done: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def exhausted(*_: object) -> None:
        raise error

    monkeypatch.setattr(status, "load", exhausted)
    assert "the memory is not enough; close other programs" in one_line(invoke("status", "--project", done))
