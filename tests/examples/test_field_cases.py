"""Small inputs of the kind people have, with right answers by hand. They are kept outside of the project; skipped without them."""

from __future__ import annotations

import json
import os
import re
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from trueup.cli import main

ROOT = Path(__file__).resolve().parents[2]
CASES = Path(os.environ.get("TRUEUP_CASES", ROOT.parent / "shared" / "cases"))
NOW = "2026-11-25T00:00:00+00:00"
GERMAN = 'notation = { decimal = ",", grouping = "." }\n'


def findings_of(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str], *, settings: str = "", stream: str = "usage|charge",
    replaced: tuple[str, str] = ("", ""),
) -> list[tuple[str, Decimal]]:  # fmt: skip
    """Return kind and impact of the open findings of a case, with `settings` in each source of the streams, and a text replaced."""
    if not (CASES / case).is_dir():
        pytest.skip(f"there is no {CASES / case}; set TRUEUP_CASES to the folder of cases")
    project = Path(shutil.copytree(CASES / case, folder / "project"))
    path = project / "trueup.toml"
    text = re.sub(rf'(?m)^stream = "({stream})"\n', rf"\g<0>{settings}", path.read_text("utf-8"))
    path.write_text(text.replace(*replaced), "utf-8")
    assert main(["ingest", "--project", str(project)]) == 0, capsys.readouterr().err
    for source in re.findall(r'(?m)^name = "(.*)"\nstream = "(?:usage|charge)"', text):
        assert main(["close", "--source", source, "--through", "2026-11-24", "--project", str(project)]) == 0
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
    assert findings_of("C14-a-and-b-legs", tmp_path, capsys, settings=settings, stream="usage") == [("unbilled", Decimal("0.1"))]


def test_a_volume_counts_what_32_bit_counters_carried_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C10: r1 has 705032704 + 2^32 + 1000000000 = 6,000,000,000 bytes = 6.00, billed 1.705033; r2 has 300 bytes and is right.
    expression = "in_octets + out_octets + 4294967296 * (in_gw + out_gw)"
    replaced = ('quantity = "in_octets"', f'quantity = {{ expression = "{expression}" }}')
    found = findings_of("C10-radius-gigawords", tmp_path, capsys, replaced=replaced)
    assert found == [("underbilled", Decimal("4.294967"))]
