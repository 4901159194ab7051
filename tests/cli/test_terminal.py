"""Data controls neither a terminal nor a spreadsheet; in a file or a pipe it is exact."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import pty
import re
import sys
import termios
import threading
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trueup.cli import main, output
from trueup.cli.progress import ingest_progress
from trueup.warehouse.text import for_spreadsheet

Invoke = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
ESC, CSI, RLO = "\x1b", "\x9b", "\u202e"
HOSTILE = f"a{ESC}[31mred{ESC}]0;title\x07{CSI}2J{RLO}b\rc\x08\x7f[red]x[/red]"


class Screen:
    """A terminal that records the text written to it."""

    def __init__(self, leader: int) -> None:
        self._leader, self._parts = leader, list[bytes]()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._leader, 65_536)
            except OSError:
                return
            if not part:
                return
            self._parts.append(part)

    def text(self) -> str:
        self._reader.join()
        return b"".join(self._parts).decode("utf-8")


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, *streams: str) -> Iterator[Screen]:
    """Make the streams of this process a terminal that shows each byte as it arrives."""
    leader, follower = pty.openpty()
    settings = termios.tcgetattr(follower)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(follower, termios.TCSANOW, settings)
    screen = Screen(leader)
    with os.fdopen(follower, "w", encoding="utf-8", newline="") as file, monkeypatch.context() as patch:
        for stream in streams:
            patch.setattr(sys, stream, file)
        yield screen
    screen.text()
    os.close(leader)


def find_obeyed(text: str) -> set[str]:
    """Return the characters that a terminal would obey or hide, except line ends."""
    return {c for c in text if c != "\n" and (unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp"))}


def run_on_terminal(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    with terminal(monkeypatch, "stdout") as screen:
        assert main([str(a) for a in arguments]) == 0
    return screen.text()


# --- one function -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain täxt ünd 漢字", "plain täxt ünd 漢字"), (f"{ESC}[0m", r"\x1b[0m"), ("a\r\n\tb", r"a\r\n\tb"), (CSI, r"\x9b"), (RLO, r"\u202e"),
        ("\U000e0041", r"\U000e0041"), ("\udc80", r"\udc80"), (r"^\d+\.csv$", r"^\d+\.csv$"), (r"\x1b", r"\\x1b"), ("\\\\", "\\\\\\"),
    ],
)  # fmt: skip
def test_characters_that_a_terminal_obeys_are_shown_as_escapes(text: str, shown: str) -> None:
    assert output.visible(text) == shown


def test_shown_text_can_be_read_back_without_loss() -> None:
    escape = re.compile(r"\\(?:(\\)|([nrt])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")

    def read(found: re.Match[str]) -> str:
        if found[1]:
            return "\\"
        return {"n": "\n", "r": "\r", "t": "\t"}[found[2]] if found[2] else chr(int(found[3] or found[4] or found[5], 16))

    every = "".join(map(chr, [*range(0x400), *range(0x2000, 0x2070), 0xD800, 0xFEFF, 0xE0001]))
    for text in (every, "\\\n", "\\\\n", "\\\\\\x41\\", r"\u202e" + RLO, "\\U\\u\\x\\n\\r\\t\\d"):
        shown = output.visible(text)
        assert escape.sub(read, shown) == text
        assert shown.isprintable()


# --- each way to a terminal -------------------------------------------------------------------------------------------


def query(text: str) -> str:
    parts = " || ".join(f"chr({ord(c)})" for c in text)
    return f'select {parts} as "{ESC}[1mhead{RLO}", 1.5::decimal(9,2) as n'


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_an_answer_on_a_terminal_obeys_nothing_in_cells_and_headings(
    form: str, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown = run_on_terminal(monkeypatch, "sql", query(HOSTILE), "--format", form, "--project", done)
    assert find_obeyed(shown) == set()
    assert "[red]x[/red]" in "".join(shown.split()) and ("\\x1b" in shown or "\\u001b" in shown)


def test_json_on_a_terminal_is_the_same_value(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = json.loads(run_on_terminal(monkeypatch, "sql", query(HOSTILE + "\U000e0041"), "--json", "--project", done))
    assert row == {f"{ESC}[1mhead{RLO}": HOSTILE + "\U000e0041", "n": 1.5}


@pytest.mark.parametrize("form", ["csv", "json"])
def test_in_a_pipe_an_answer_is_exactly_the_data(form: str, invoke: Invoke, done: Path) -> None:
    text = HOSTILE + "\n=1+1"
    result = invoke("sql", query(text), "--format", form, "--project", done)
    if form == "csv":
        assert list(csv.reader(io.StringIO(result.out, newline="")))[1] == [text, "1.50"]
    else:
        assert json.loads(result.out)[0][f"{ESC}[1mhead{RLO}"] == text


def test_a_plan_shows_its_constants(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run_on_terminal(monkeypatch, "sql", f"explain select * from findings where service = '{HOSTILE}'", "--project", done)
    assert find_obeyed(shown) == set()


def test_an_error_shows_quoted_text_as_escapes(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, "stderr") as screen:
        for arguments in (["explain", HOSTILE], ["sql", f'select "{HOSTILE}"'], [HOSTILE], ["findings", "--status", HOSTILE]):
            assert main([*arguments, "--project", str(done)]) == 2
    assert find_obeyed(screen.text()) == set() and screen.text().count("\n") == 4


def test_titles_and_counts_of_tables_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, "stdout") as screen:
        output.table(["[red]h"], [["[bold]c[/bold]"]], title=f"[blink]t{RLO}")
    assert "[blink]t\\u202e" in screen.text() and "[red]h" in screen.text() and "[bold]c[/bold]" in screen.text()


def test_the_bar_of_a_file_shows_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with terminal(monkeypatch, "stderr") as screen, ingest_progress() as progress:
        progress.update(f"msc{ESC}]0;owned\x07{RLO}.csv", 1, 2)
    assert f"{ESC}]0" not in screen.text() and RLO not in screen.text() and "\x07" not in screen.text()
    assert r"msc\x1b]0;owned\x07\u202e.csv" in screen.text()


def test_warnings_and_log_messages_of_libraries_obey_nothing_either(invoke: Invoke) -> None:
    assert invoke("--version").status == 0
    handler = logging.lastResort
    assert handler is not None
    assert find_obeyed(handler.format(logging.makeLogRecord({"msg": HOSTILE, "levelno": logging.ERROR}))) == set()
    assert find_obeyed(warnings.formatwarning(HOSTILE, UserWarning, "f.py", 1)) == set()


def test_records_files_and_findings_of_hostile_names_obey_nothing_in_any_command(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    monkeypatch.setenv("TRUEUP_NOW", "2024-03-05T00:00:00+00:00")
    monkeypatch.setenv("TERM", "dumb")
    who = json.dumps(HOSTILE.replace("\r", "").replace("\n", ""), ensure_ascii=False)
    toml = fresh / "trueup.toml"
    sources = toml.read_text("utf-8").replace('path = "landing/msc/*.csv"', 'path = "landing/msc/*.ndjson"\nformat = "ndjson"')
    toml.write_text(sources, "utf-8")
    rows = [
        {"id": f"u{n}{HOSTILE}", "caller": json.loads(who), "start": at, "seconds": 3}
        for n, at in ((1, "2024-03-01 10:00:00"), (2, HOSTILE))
    ]
    name = f"a{ESC}[31m{RLO}.ndjson"
    (fresh / "landing/msc" / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    at = ("--project", fresh)
    shown = run_on_terminal(monkeypatch, "ingest", *at)
    for source in ("msc", "billing"):
        shown += run_on_terminal(monkeypatch, "close", "--source", source, "--through", "2024-03-02", *at)
    shown += run_on_terminal(monkeypatch, "run", *at)
    (finding, *_) = json.loads(invoke("findings", "--kind", "unbilled", "--json", *at).out)
    (refused,) = json.loads(invoke("sql", "select event_id from quarantine where source = 'msc'", "--json", *at).out)
    shown += run_on_terminal(monkeypatch, "findings", *at) + run_on_terminal(monkeypatch, "findings", "--json", *at)
    shown += run_on_terminal(monkeypatch, "explain", finding["finding_id"], *at) + run_on_terminal(
        monkeypatch, "status", "--check", *at
    )
    for one in (finding["finding_id"], refused["event_id"]):
        shown += run_on_terminal(monkeypatch, "verify", one, *at) + run_on_terminal(monkeypatch, "explain", one, *at)
    shown += run_on_terminal(monkeypatch, "verify", *at) + run_on_terminal(monkeypatch, "quality", *at)
    assert find_obeyed(shown) == set() and "\\x1b[31m" in shown and "\\u202e" in shown


# --- spreadsheets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(begins: str) -> None:
    assert for_spreadsheet(f"{begins}cmd|' /C calc'!A0") == f"'{begins}cmd|' /C calc'!A0"
    assert for_spreadsheet(f"a{begins}b") == f"a{begins}b" and for_spreadsheet("") == ""


CELLS = "select '=1+1' as \"=h\", '-5' as text, -5 as whole, -1.5::decimal(9,2) as exact, -2.5::double as float, '+49151' as phone"


@pytest.mark.parametrize(
    ("options", "at_terminal", "expected"),
    [
        ((), True, True), ((), False, False), (("--spreadsheet",), False, True), (("--no-spreadsheet",), True, False),
    ],
)  # fmt: skip
def test_csv_is_for_a_spreadsheet_where_a_person_exports_and_numbers_stay_numbers(
    options: tuple[str, ...], at_terminal: bool, expected: bool, done: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("sql", CELLS, "--format", "csv", *options, "--project", done)
    result = run_on_terminal(monkeypatch, *arguments) if at_terminal else invoke(*arguments).out
    mark = "'" if expected else ""
    assert result == f"{mark}=h,text,whole,exact,float,phone\n{mark}=1+1,{mark}-5,-5,-1.50,-2.5,{mark}+49151\n"


@pytest.mark.parametrize("form", [("--format", "table"), ("--json",)])
def test_the_option_for_spreadsheets_is_refused_without_csv(form: tuple[str, ...], invoke: Invoke, done: Path) -> None:
    result = invoke("sql", "select 1", *form, "--spreadsheet", "--project", done)
    assert (result.status, result.err.count("\n")) == (2, 1) and "--spreadsheet" in result.err


def test_prices_written_to_csv_are_safe_for_a_spreadsheet_by_default(tmp_path: Path, invoke: Invoke) -> None:
    book = pl.DataFrame({
        "item": ["rate"], "service": ["voice"], "valid_from": ["2024-01-01T00:00:00Z"], "currency": ["EUR"], "price": ["1"],
        "price_per": ["1"], "unit": ["s"],
    })  # fmt: skip
    book.write_csv(tmp_path / "book.csv")
    common = ("rate", "--book", tmp_path / "book.csv", "--service", "voice", "--peer", "+4915", "--start", "2024-03-01T00:00:00Z",
              "--quantity", "3", "--to", tmp_path / "prices.csv")  # fmt: skip
    for options, mark in (((), "'"), (("--no-spreadsheet",), "")):
        assert invoke(*common, *options).status == 0
        written = (tmp_path / "prices.csv").read_text("utf-8")
        assert f"{mark}+4915" in written and ("'" in written) == bool(mark)
    result = invoke(*common[:-2], "--spreadsheet")
    assert result.status == 2 and "--spreadsheet" in result.err
