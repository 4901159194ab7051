"""Small realistic inputs with correct answers worked out by hand.

They are stored outside the project; without them the tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trueup.cli import main

ROOT = Path(__file__).resolve().parents[2]
CASES = Path(os.environ.get("TRUEUP_CASES", ROOT.parent / "shared" / "cases"))
NOW = "2026-11-25T00:00:00+00:00"
GERMAN = 'notation = { decimal = ",", grouping = "." }\n'


def project_of(
    case: str, folder: Path, *, settings: str = "", streams: str = "usage|charge", replaced: tuple[str, str] = ("", "")
) -> Path:
    """Return a copy of a case's project, with `settings` in each source of these streams and a text of its settings replaced.

    Skips the test without the case.
    """
    if not (CASES / case).is_dir():
        pytest.skip(f"there is no {CASES / case}; set TRUEUP_CASES to the folder of cases")
    project = Path(shutil.copytree(CASES / case, folder / "project"))
    path = project / "trueup.toml"
    text = re.sub(rf'(?m)^stream = "({streams})"\n', rf"\g<0>{settings}", path.read_text("utf-8"))
    path.write_text(text.replace(*replaced), "utf-8")
    return project


def findings_of(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str], *, through: str = "2026-11-24", **settings: Any
) -> list[tuple[str, Decimal]]:
    """Return kind and impact of a case's open findings when its sources are complete; `settings` are those of `project_of`."""
    project = project_of(case, folder, **settings)
    text = (project / "trueup.toml").read_text("utf-8")
    assert main(["ingest", "--project", str(project)]) == 0, capsys.readouterr().err
    for source in re.findall(r'(?m)^name = "(.*)"\nstream = "(?:usage|charge)"', text):
        assert main(["close", "--source", source, "--through", through, "--project", str(project)]) == 0
    assert main(["reconcile", "--project", str(project)]) == 0
    capsys.readouterr()
    assert main(["findings", "--status", "open", "--json", "--project", str(project)]) == 0
    return sorted((row["kind"], Decimal(row["impact"])) for row in json.loads(capsys.readouterr().out, parse_float=Decimal))


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_NOW", NOW)


def test_the_longest_prefix_prices_a_number_however_it_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C02: +1 (234) …, 001234… and 1234… have the prefix 1234 (0.24); 030 … and 0049 … the prefix 49 (0.03). All bills are right.
    assert findings_of("C02-prefix-forms", tmp_path, capsys) == []


def test_a_decimal_comma_and_a_thousands_point_are_read_as_declared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C09: 12,00 and 1.000 are right; 120,50 is billed for 600 × 0.20 = 120.00.
    assert findings_of("C09-decimal-comma", tmp_path, capsys, settings=GERMAN) == [("misrated", Decimal("-0.5"))]


def test_columns_padded_with_blanks_match(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C36: 60 s × 0.01 = 0.60 and 30 s × 0.01 = 0.30, both billed.
    assert findings_of("C36-blanks-in-keys", tmp_path, capsys) == []


def test_only_the_billable_leg_of_a_call_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C14: of the A legs, c1 and c2 are billed; c3 has 10 s × 0.01 = 0.10 and no charge.
    settings = "where = \"leg = 'a'\"\n"
    assert findings_of("C14-a-and-b-legs", tmp_path, capsys, settings=settings, streams="usage") == [("unbilled", Decimal("0.1"))]


def test_repeated_headers_are_not_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C15: three calls between three header lines; the one of 10 s × 0.01 is not billed.
    assert findings_of("C15-repeated-header", tmp_path, capsys) == [("unbilled", Decimal("0.1"))]
    assert rows_of("SELECT count(*)::INT AS n FROM quarantine", tmp_path / "project", capsys) == [{"n": 0}]


def test_two_calls_and_two_charges_of_one_key_are_one_session_and_one_bill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # C22 without part numbers: 60 s + 30 s of n1 and 45 s + 45 s of n2, all billed at 0.01.
    replaced = ('partial_no = "part"\n', "")
    settings = {"replaced": replaced, "settings": "bill_lines = true\n", "streams": "charge"}
    assert findings_of("C22-two-by-two-same-key", tmp_path, capsys, **settings) == []


def test_a_bill_for_a_month_is_compared_with_the_usage_of_its_calendar_month(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # C18: 350 MB and 100 MB of the first subscriber are billed rightly; of the second, 50 MB × 0.01 = 0.50 is billed at 0.10.
    monkeypatch.setenv("TRUEUP_NOW", "2026-12-05T00:00:00+00:00")
    replaced = ('period = "1d"', 'period = "month"')
    found = findings_of("C18-calendar-month-aggregate", tmp_path, capsys, through="2026-12-01", replaced=replaced)
    assert found == [("underbilled", Decimal("0.4"))]


def test_a_trailer_that_declares_a_missing_record_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C16: the trailer declares 3 records, the file has 2; both are billed rightly.
    framing = "framing = { header = '^HDR', trailer = '^TRL,[^,]*,(?P<records>[0-9]+),' }\n"
    project = project_of("C16-header-and-trailer-records", tmp_path, settings=framing, streams="usage")
    usage = project / "landing/usage.csv"
    usage.write_text("HDR,MSC07\n" + usage.read_text("utf-8").removeprefix("HDR,MSC07\n"), "utf-8")
    assert main(["ingest", "--project", str(project)]) == 0, capsys.readouterr().err
    assert main(["quality", "--project", str(project)]) == 0
    capsys.readouterr()
    query = "SELECT kind, control, reason, records_low::INT AS n FROM findings"
    (found,) = rows_of(query, project, capsys)
    assert found == {
        "kind": "total_mismatch", "control": "declared", "reason": "landing/usage.csv declares 3 records and holds 2", "n": 1,
    }  # fmt: skip


def test_a_zip_archive_of_one_file_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C31: c.zip holds one record, c1; an empty file and one in UTF-16 beside it are refused.
    project = project_of("C31-containers", tmp_path)
    assert main(["ingest", "--project", str(project)]) == 2
    capsys.readouterr()
    query = "SELECT path, records::INT AS n, accepted::INT AS taken FROM source_units WHERE path LIKE '%.zip'"
    assert rows_of(query, project, capsys) == [{"path": "landing/c.zip", "n": 1, "taken": 1}]


def rows_of(query: str, project: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return the rows of a query on the project's warehouse."""
    assert main(["sql", query, "--json", "--project", str(project)]) == 0, capsys.readouterr().err
    rows: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return rows


def test_a_volume_includes_the_overflows_of_32_bit_counters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C10: r1 has 705032704 + 2^32 + 1000000000 = 6,000,000,000 bytes = 6.00, billed 1.705033; r2 has 300 bytes and is right.
    expression = "in_octets + out_octets + 4294967296 * (in_gw + out_gw)"
    replaced = ('quantity = "in_octets"', f'quantity = {{ expression = "{expression}" }}')
    found = findings_of("C10-radius-gigawords", tmp_path, capsys, replaced=replaced)
    assert found == [("underbilled", Decimal("4.294967"))]


def test_damaged_durations_are_rejected_by_their_unit_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C12 without a range of its own: a call of more than a day is not plausible in seconds.
    project = project_of("C12-absurd-duration", tmp_path, replaced=('range = { quantity = ["0", "86400"] }\n', ""))
    text = (project / "trueup.toml").read_text("utf-8")
    (project / "trueup.toml").write_text(text.replace('"billsec"', '{ column = "billsec", unit = "s" }'), "utf-8")
    assert main(["ingest", "--project", str(project)]) == 0
    capsys.readouterr()
    query = "SELECT source_row::INT AS row, reason, rule FROM quarantine ORDER BY 1"
    rule = "quantity: lies in its range"
    assert rows_of(query, project, capsys) == [{"row": row, "reason": "value_out_of_range", "rule": rule} for row in (0, 1)]


def test_damaged_durations_give_no_leakage_and_their_charges_no_overcharge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # C12: a day is the longest call; d1 of 4,300 years and d2 of 84 hours are damaged, d3 of 60 s × 0.001 is right.
    findings_of("C12-absurd-duration", tmp_path, capsys)
    assert rows_of("SELECT * FROM leakage_by_day", tmp_path / "project", capsys) == []
    query = "SELECT subscriber, provisional_reason AS reason FROM findings ORDER BY subscriber"
    assert rows_of(query, tmp_path / "project", capsys) == [
        {"subscriber": "491511000001", "reason": "quarantined record"},
        {"subscriber": "491511000002", "reason": "quarantined record"},
    ]


def test_records_refused_by_a_wrong_mapping_come_in_once_it_is_corrected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # C35: 2 usage records after the correction; the second file holds the same two.
    wrong = ('quantity = "in_octets"', 'quantity = "nas"')
    project = project_of("C35-recycle-after-fix", tmp_path, replaced=wrong)
    assert main(["ingest", "--project", str(project)]) == 0
    capsys.readouterr()
    assert rows_of("SELECT count(*)::INT AS n FROM lake.events.usage", project, capsys) == [{"n": 0}]
    text = (project / "trueup.toml").read_text("utf-8")
    (project / "trueup.toml").write_text(text.replace(*reversed(wrong)), "utf-8")
    assert main(["recycle", "--project", str(project)]) == 0
    capsys.readouterr()
    assert rows_of("SELECT count(*)::INT AS n FROM lake.events.usage", project, capsys) == [{"n": 2}]
    assert rows_of("SELECT count(*)::INT AS n FROM quarantine WHERE recycled_position IS NULL", project, capsys) == [{"n": 0}]
    assert main(["verify", "--project", str(project)]) == 0
