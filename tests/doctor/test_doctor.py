"""`trueup doctor`: one line per check, with advice; exit status 1 if a check is an error."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path

import openpyxl
import pytest

from trueup.cli import main

TOML = """
[project]
timezone = "UTC"
currency = "EUR"
[[source]]
name = "msc"
stream = "usage"
path = "landing/msc*.csv"
columns = { record_key = "id", session_key = "id", subscriber = "caller", started_at = "start", quantity = "seconds" }
constants = { service = "voice" }
[[source]]
name = "billing"
stream = "charge"
path = "landing/billing.csv"
columns = { record_key = "line", session_key = "id", subscriber = "caller", amount = "amount", started_at = "start" }
[reconcile.voice]
price = "0.1"
"""
NOW = "2026-11-25T00:00:00+00:00"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project without a fault."""
    monkeypatch.setenv("TRUEUP_NOW", NOW)
    (tmp_path / "landing").mkdir()
    (tmp_path / "trueup.toml").write_text(TOML, "utf-8")
    (tmp_path / "landing/msc1.csv").write_text("id,caller,start,seconds\nu1,A1,2026-11-20 10:00:00,10\n", "utf-8")
    (tmp_path / "landing/billing.csv").write_text("line,id,caller,start,amount\nc1,u1,A1,2026-11-20 10:00:00,1\n", "utf-8")
    return tmp_path


def change(project: Path, before: str, after: str) -> None:
    path = project / "trueup.toml"
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), "utf-8")


def lines(project: Path, capsys: pytest.CaptureFixture[str], *, grade: str, status: int) -> list[str]:
    """Return the lines of a grade that `trueup doctor` prints, without the grade."""
    assert main(["doctor", "--project", str(project)]) == status
    out = capsys.readouterr().out
    return [line.removeprefix(grade).strip() for line in out.splitlines() if line.startswith(grade)]


def the_error(project: Path, capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = lines(project, capsys, grade="error", status=1)
    return line


def test_a_sound_machine_and_project_have_no_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ingest", "--project", str(project)]) == 0
    capsys.readouterr()
    found = lines(project, capsys, grade="ok", status=0)
    subjects = {line.split(":")[0] for line in found}
    assert {"Python", "memory", "cores", "DuckDB", "DuckDB extension ducklake", "project", "lake", "clock"} <= subjects
    assert "[[source]] msc: 1 file; the first has the 4 mapped columns" in found
    assert "[[source]] billing: 1 file; the first has the 5 mapped columns" in found


def test_a_project_without_a_lake_is_a_notice(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "lake: there is none yet; `trueup ingest` or `trueup run` creates it" in lines(project, capsys, grade="notice", status=0)


def test_a_folder_without_a_project_is_a_notice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = [line for line in lines(tmp_path, capsys, grade="notice", status=0) if line.startswith("project")]
    assert "run `trueup init`" in found


def test_an_invalid_project_is_an_error_in_addition_to_the_checks_of_the_machine(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(project, 'price = "0.1"', 'prize = "0.1"')
    assert the_error(project, capsys).startswith("project: reconcile.voice.prize: this setting is unknown")


def test_a_mapped_column_that_the_first_file_lacks_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(project, 'quantity = "seconds"', 'quantity = "secs"')
    error = the_error(project, capsys)
    assert error.startswith("[[source]] msc: quantity is mapped to the column 'secs', which does not exist; there are id, caller")


def test_the_columns_of_a_workbook_are_checked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = openpyxl.Workbook()
    book.worksheets[0].append(("id", "anumber"))
    book.save(project / "landing/a.xlsx")
    change(project, 'path = "landing/msc*.csv"', 'path = "landing/a.xlsx"\nformat = "xlsx"')
    assert "does not exist; there are id, anumber" in the_error(project, capsys)


def test_a_column_that_only_where_reads_must_exist(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(project, 'stream = "usage"', 'stream = "usage"\nwhere = "leg = 1"')
    assert "`where` reads the column 'leg', which does not exist" in the_error(project, capsys)


def test_a_pattern_without_files_is_a_notice_and_a_missing_file_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "landing/msc1.csv").unlink()
    assert any(
        line.startswith("[[source]] msc: no file matches landing/msc*.csv")
        for line in lines(project, capsys, grade="notice", status=0)
    )
    (project / "landing/billing.csv").unlink()
    assert the_error(project, capsys).startswith("[[source]] billing: there is no such file (landing/billing.csv)")


def test_two_sources_that_read_one_file_are_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "landing/msc2.csv").hardlink_to(project / "landing/billing.csv")
    assert "msc and billing" in the_error(project, capsys)


@pytest.mark.parametrize(("content", "message"), [(b"", "the file is empty"), (bytes(range(256)) * 8, "the file is binary")])
def test_a_first_file_that_cannot_be_read_is_an_error(
    content: bytes, message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "landing/billing.csv").write_bytes(content)
    assert message in the_error(project, capsys)


def test_a_variable_that_is_not_set_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(project, "landing/billing.csv", "${NO_SUCH_FOLDER}/billing.csv")
    assert "the environment variable NO_SUCH_FOLDER is not set" in the_error(project, capsys)


def test_a_long_file_is_read_in_part_and_its_trailer_not_missed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"u{n},A1,2026-11-20 10:00:00,10\n" for n in range(150_000))
    (project / "landing/msc1.csv").write_text(f"HDR\nid,caller,start,seconds\n{rows}TRL\n", "utf-8")
    change(
        project,
        'constants = { service = "voice" }',
        "constants = { service = \"voice\" }\nframing = { header = '^HDR', trailer = '^TRL' }",
    )
    assert "[[source]] msc: 1 file; the first has the 4 mapped columns" in lines(project, capsys, grade="ok", status=0)


def test_a_wrong_clock_is_an_error(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["ingest", "--project", str(project)]) == 0
    monkeypatch.setenv("TRUEUP_NOW", "2026-11-24T00:00:00+00:00")
    capsys.readouterr()
    assert "the clock is 1 d 0 h behind" in the_error(project, capsys)


def test_a_lost_catalog_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ingest", "--project", str(project)]) == 0
    capsys.readouterr()
    (project / "lake/catalog.sqlite").write_bytes(b"no database")
    assert the_error(project, capsys).startswith("lake: ")


def test_a_file_in_place_of_a_folder_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(project, "[project]", '[lake]\ndata = "trueup.toml/data"\n[project]')
    assert the_error(project, capsys).startswith("[lake] data: ")


def test_a_missing_key_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(project, "[project]", '[anchor]\nkey = "keys/anchor"\n[project]')
    assert the_error(project, capsys).startswith("[anchor] key: ")


def test_a_missing_optional_package_is_a_notice(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *more: None if name == "xgboost" else found(name, *more))
    assert "package xgboost: it is not installed; install trueup[fraud] to use it" in lines(
        project, capsys, grade="notice", status=0
    )


def test_the_results_are_json_on_request(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(project, 'quantity = "seconds"', 'quantity = "secs"')
    assert main(["doctor", "--project", str(project), "--json"]) == 1
    results = json.loads(capsys.readouterr().out)
    assert [result["subject"] for result in results if result["grade"] == "error"] == ["[[source]] msc"]
    assert all(set(result) == {"grade", "subject", "found", "todo"} for result in results)
