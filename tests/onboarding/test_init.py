"""`trueup init --from`: the written project loads, ingests its samples, and has the same findings as a project written by hand."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trueup.cli import main

ROOT = Path(__file__).resolve().parents[2]
CASES = Path(os.environ.get("TRUEUP_CASES", ROOT.parent / "shared" / "cases"))
DATA = Path(os.environ.get("TRUEUP_SHARED_DATA", ROOT.parent / "shared" / "data"))
USAGE = "cdr,anum,bnum,begin,seconds\n" + "".join(
    f"X{n},4915110000{n},493012345{n},{n + 12}/11/2026 10:00,{n * 10}\n" for n in range(1, 9)
)
BILLS = "line,reference,msisdn,begin,secs,net,currency\n" + "".join(
    f"{n},X{n},4915110000{n},{n + 12}/11/2026 10:00,{n * 10},{n * 0.2 + (0.5 if n == 3 else 0):.2f},CHF\n" for n in range(1, 8)
)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_NOW", "2026-11-25T00:00:00+00:00")


def init(folder: Path, samples: Sequence[Path], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the JSON of `trueup init --from` of samples in a new project."""
    arguments = [text for sample in samples for text in ("--from", str(sample))]
    assert main(["init", str(folder), *arguments, "--json"]) == 0, capsys.readouterr().err
    written: dict[str, Any] = json.loads(capsys.readouterr().out)
    return written


def findings_of(folder: Path, written: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[tuple[str, Decimal]]:
    """Return kind and impact of the open findings of a project, once all its sources are closed."""
    assert main(["ingest", "--project", str(folder)]) == 0, capsys.readouterr().err
    for source in written["sources"]:
        if source["stream"] != "tariff":
            assert main(["close", "--source", source["name"], "--through", "2026-11-24", "--project", str(folder)]) == 0
    assert main(["reconcile", "--project", str(folder)]) == 0
    capsys.readouterr()
    assert main(["findings", "--status", "open", "--json", "--project", str(folder)]) == 0
    return sorted((row["kind"], Decimal(row["impact"])) for row in json.loads(capsys.readouterr().out, parse_float=Decimal))


def change(folder: Path, *replacements: tuple[str, str]) -> None:
    """Replace texts that occur once in trueup.toml: the lines that a person must change."""
    path = folder / "trueup.toml"
    text = path.read_text("utf-8")
    for before, after in replacements:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path.write_text(text, "utf-8")


def samples(folder: Path, **contents: str) -> list[Path]:
    paths = [folder / f"{name}.csv" for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_text(content, "utf-8")
    return paths


def test_usage_and_charges_reconcile_without_a_changed_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = init(tmp_path / "p", samples(tmp_path, usage=USAGE, bills=BILLS), capsys)
    # X3 is billed 0.50 too much, X8 (80 s × 0.02) is not billed.
    assert findings_of(tmp_path / "p", written, capsys) == [("misrated", Decimal("-0.5")), ("unbilled", Decimal("1.6"))]


def test_the_output_names_the_lines_that_a_person_should_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "p"), "--from", *map(str, samples(tmp_path, usage=USAGE))]) == 0
    out = capsys.readouterr().out
    assert "usage records, 8 of 8 become events (source usage)" in out
    assert "check 3 lines of it:" in out
    lines = (tmp_path / "p/trueup.toml").read_text("utf-8").splitlines()
    for number in (int(row.split()[0]) for row in out.splitlines() if row[:4].strip().isdigit()):
        assert "# check: " in lines[number - 1]


def test_files_after_from_are_samples_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usage, bills = samples(tmp_path, usage=USAGE, bills=BILLS)
    assert main(["init", str(tmp_path / "p"), "--from", str(usage), str(bills), "--json"]) == 0
    assert [source["stream"] for source in json.loads(capsys.readouterr().out)["sources"]] == ["usage", "charge"]


def test_an_existing_project_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usage = samples(tmp_path, usage=USAGE)
    init(tmp_path, usage, capsys)
    before = (tmp_path / "trueup.toml").read_bytes()
    assert main(["init", str(tmp_path), "--from", str(usage[0])]) == 2
    assert "trueup.toml already exists" in capsys.readouterr().err
    assert (tmp_path / "trueup.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        ("folder", "this is a directory"),
        (b"", "the file is empty"),
        (b"\n\n", "the file has no records"),
        (b"id,caller,start,billsec\n", "the sample has no record"),
        (bytes(range(256)) * 8, "the file is binary"),
        (b"\x1f\x8b\x08\x00broken", "stream is damaged|cut short"),
        (b"%PDF-1.4 ...\0", "a PDF document"),
        ("id,caller\ne1,2\n".encode("utf-16"), "UTF-16"),
        (b'[{"id": 1}]', "no column has times or amounts; its columns are id"),
        (b"hello\nworld\n", "of no known format"),
        (b"name,colour\nann,red\nbob,blue\n", "no column has times or amounts; its columns are name, colour"),
    ],
)
def test_a_sample_that_shows_no_source_is_one_line_and_nothing_is_written(
    content: bytes | str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sample.csv"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert main(["init", str(tmp_path / "p"), "--from", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "sample.csv" in error
    assert any(part in error for part in message.split("|")), error
    assert not (tmp_path / "p").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read every file")
def test_an_unreadable_sample_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = samples(tmp_path, usage=USAGE)
    path.chmod(0)
    assert main(["init", str(tmp_path / "p"), "--from", str(path)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_mistyped_sample_is_not_taken_for_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (usage,) = samples(tmp_path, usage=USAGE)
    assert main(["init", "--project", str(tmp_path / "p"), "--from", str(usage), str(tmp_path / "typo.csv")]) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert "cannot all be the folder" in capsys.readouterr().err


def test_a_sample_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (usage,) = samples(tmp_path, usage=USAGE)
    (tmp_path / "link.csv").symlink_to(usage)
    assert main(["init", str(tmp_path / "p"), "--from", str(usage), str(tmp_path / "link.csv")]) == 2
    assert "are one file" in capsys.readouterr().err


def test_problems_of_the_written_project_are_shown_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (usage,) = samples(tmp_path, usage=USAGE)
    assert main(["init", str(tmp_path / "p"), "--from", str(usage)]) == 0
    assert "warning: no source has the stream charge, so nothing can be reconciled" in capsys.readouterr().err


def test_a_path_may_hold_signs_of_patterns_and_variables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "a[1]*${HOME}.csv").write_text(USAGE, "utf-8")
    init(folder, [folder / "a[1]*${HOME}.csv"], capsys)
    assert main(["ingest", "--project", str(folder)]) == 0, capsys.readouterr().err
    assert "8 accepted" in capsys.readouterr().out


def test_the_wholesale_example_gives_its_answer_without_a_changed_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ROOT / "examples" / "wholesale" / "data"
    init(tmp_path, [data / "network_usage_raw.csv", data / "billing_transaction.csv"], capsys)
    assert main(["ingest", "--project", str(tmp_path)]) == 0
    assert main(["close", "--source", "billing_transaction", "--through", "2022-01-04", "--project", str(tmp_path)]) == 0
    assert main(["reconcile", "--project", str(tmp_path)]) == 0
    capsys.readouterr()
    query = "SELECT kind, count(*)::INT AS n, round(sum(impact), 3) AS loss FROM findings WHERE status = 'open' GROUP BY kind"
    assert main(["sql", query, "--json", "--project", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out, parse_float=Decimal) == [
        {"kind": "unbilled", "n": 20, "loss": Decimal("634236.866")}
    ]


# --- inputs from outside of the project ----------------------------------------------------------------------


def case(name: str, folder: Path) -> list[Path]:
    """Return the samples of a case, copied; skips the test without the case."""
    if not (CASES / name).is_dir():
        pytest.skip(f"there is no {CASES / name}; set TRUEUP_CASES to the folder of cases")
    shutil.copytree(CASES / name, folder, ignore=shutil.ignore_patterns("trueup.toml", "expected.md"))
    return [path for file in ("usage.csv", "charges.csv") if (path := folder / "landing" / file).exists()]


def test_call_records_of_an_exchange_need_the_zone_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (DATA / "asterisk" / "cdr.csv").exists():
        pytest.skip(f"there is no {DATA / 'asterisk'}; set TRUEUP_SHARED_DATA to its folder")
    written = init(tmp_path, [DATA / "asterisk" / "cdr.csv"], capsys)
    assert written["sources"][0]["accepted"] == 856
    assert {doubt["setting"] for doubt in written["check"]} == {"[project] timezone", "[project] currency"}


PRICE = "# price = …                                 # check: no sample shows a price: write it here, or add a tariff book"


@pytest.mark.parametrize(
    ("name", "changes", "findings"),
    [
        ("C09-decimal-comma", [], [("misrated", "-0.5")]),
        ("C10-radius-gigawords", [(PRICE, 'price = "1"\nprice_per = 1_000_000_000')], [("underbilled", "4.294967")]),
        ("C14-a-and-b-legs", [], [("unbilled", "0.1")]),
        ("C15-repeated-header", [], [("unbilled", "0.1")]),
        ("C16-header-and-trailer-records", [], []),
        ("C22-two-by-two-same-key", [], []),
        ("C36-blanks-in-keys", [], []),
    ],
)
def test_a_case_from_the_field_gives_its_findings_with_this_many_changed_lines(
    name: str, changes: list[tuple[str, str]], findings: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "p"
    written = init(folder, case(name, folder), capsys)
    change(folder, *changes)
    assert findings_of(folder, written, capsys) == [(kind, Decimal(impact)) for kind, impact in findings]


def test_a_case_with_a_tariff_book_needs_no_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("C02-prefix-forms", "C37-total-of-closed-findings"):
        folder = tmp_path / name
        paths = case(name, folder)
        written = init(folder, [*paths, folder / "book.csv"], capsys)
        assert all(source["accepted"] == source["records"] for source in written["sources"])
        assert main(["ingest", "--project", str(folder)]) == 0, capsys.readouterr().err
        capsys.readouterr()


def test_charges_of_the_first_of_a_month_are_compared_by_month(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C18: the second subscriber used 50 MB in October, billed at 0.10; the prices of the charges show 0.01 per MB.
    folder = tmp_path / "p"
    written = init(folder, case("C18-calendar-month-aggregate", folder), capsys)
    assert 'period = "month"' in (folder / "trueup.toml").read_text()
    assert findings_of(folder, written, capsys) == [("underbilled", Decimal("0.4"))]


def test_charges_of_one_day_whose_usage_is_of_that_day_are_not_monthly_sums(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, files = tmp_path / "p", {"usage": "id,msisdn,start,seconds\n", "charges": "line,msisdn,date,seconds,amount\n"}
    for n in range(7):
        files["usage"] += f"{n},49151100000{n},2024-03-01 10:0{n}:00,{10 + n}\n"
        files["charges"] += f"{n},49151100000{n},2024-03-01,{10 + n},0.{10 + n}\n"
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    init(folder, [tmp_path / "usage.csv", tmp_path / "charges.csv"], capsys)
    assert 'period = "1d"' in (folder / "trueup.toml").read_text()


def test_several_charges_of_one_key_are_lines_where_as_many_calls_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # C22 without its part numbers.
    folder = tmp_path / "p"
    paths = case("C22-two-by-two-same-key", folder)
    for path in paths:
        if "charges" in path.name:
            path.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in path.read_text().splitlines()))
    written = init(folder, paths, capsys)
    assert "bill_lines = true" in (folder / "trueup.toml").read_text()
    assert findings_of(folder, written, capsys) == []


def test_damaged_durations_get_a_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "p"
    written = init(folder, case("C12-absurd-duration", folder), capsys)
    assert [(source["accepted"], sum(source["quarantined"].values())) for source in written["sources"]] == [(1, 2), (3, 0)]


@pytest.mark.parametrize("name", ["a_members.csv.gz", "b_cat.csv.gz", "c.zip", "e_nul.csv", "f_trailing.csv", "g_dup.csv",
                                  "h_noeol_bom.csv", "k_spaces.csv"])  # fmt: skip
def test_a_container_from_the_field_needs_no_changed_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case("C31-containers", tmp_path / "p")
    written = init(tmp_path / "p", [tmp_path / "p" / "landing" / name], capsys)
    assert written["sources"][0]["accepted"] >= 1
    assert main(["ingest", "--project", str(tmp_path / "p")]) == 0, capsys.readouterr().err
    assert f"{written['sources'][0]['accepted']} accepted" in capsys.readouterr().out
