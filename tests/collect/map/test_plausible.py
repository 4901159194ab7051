"""A quantity with a named unit has a plausible range: no record of a thousand years becomes money."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from trueup.cli import main
from trueup.units import UNITS, UnitName

SETTINGS = """
[[source]]
name = "switch"
stream = "{stream}"
path = "calls.csv"
{more}
[source.columns]
record_key = "id"
subscriber = "caller"
started_at = "at"
quantity = {{ column = "used"{unit} }}
{amount}
[source.constants]
service = "{service}"
"""


def rejected_rows(folder: Path, capsys: pytest.CaptureFixture[str], quantities: list[str], **settings: str) -> list[int]:
    """Return the numbers of the records that ingestion rejects for their quantity."""
    values = {"stream": "usage", "service": "voice", "unit": "", "more": "", "amount": ""} | settings
    (folder / "trueup.toml").write_text(SETTINGS.format(**values))
    lines = [f"{n},491511000001,2024-05-01T10:00:00,{quantity},1\n" for n, quantity in enumerate(quantities)]
    (folder / "calls.csv").write_text("id,caller,at,used,amount\n" + "".join(lines))
    assert main(["ingest", "--project", str(folder)]) == 0, capsys.readouterr().err
    capsys.readouterr()
    query = "SELECT source_row::INT AS n FROM quarantine WHERE reason = 'value_out_of_range' ORDER BY 1"
    assert main(["sql", query, "--json", "--project", str(folder)]) == 0
    return [row["n"] for row in json.loads(capsys.readouterr().out)]


def test_every_unit_of_the_settings_has_a_size() -> None:
    assert set(get_args(UnitName)) == set(UNITS)


@pytest.mark.parametrize(
    ("service", "unit", "greatest", "beyond"),
    [
        ("voice", "s", "86400", "86400.000001"), ("voice", "min", "1440", "1441"), ("fax", "s", "2678400", "2678401"),
        ("data", "MB", "10000000", "10000001"), ("data", "B", "9223372036854", "9223372036855"), ("sms", "messages", "1000000", "1000001"),
    ],
)  # fmt: skip
def test_a_quantity_beyond_the_plausible_range_of_its_unit_is_rejected(
    service: str, unit: str, greatest: str, beyond: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quantities = ["0", greatest, beyond, "-1"]
    assert rejected_rows(tmp_path, capsys, quantities, service=service, unit=f', unit = "{unit}"') == [2, 3]


def test_a_written_duration_is_a_number_of_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rejected_rows(tmp_path, capsys, ["24:00:00", "24:00:01"], unit=', duration = "h:m:s"') == [1]


@pytest.mark.parametrize("unit", ["", ', unit = "ms"'])
def test_a_written_duration_in_smaller_units_is_as_plausible(unit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = f', duration = "h:m:s", scale = 1000{unit}'
    assert rejected_rows(tmp_path, capsys, ["00:05:00", "24:00:00", "24:00:01"], unit=settings) == [2]


def test_a_call_of_a_feed_whose_column_names_the_service_has_the_range_of_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"stream": "usage", "service": "x", "unit": ', unit = "s"', "more": "", "amount": 'service = "kind"'}
    (tmp_path / "trueup.toml").write_text(SETTINGS.format(**values).partition("[source.constants]")[0])
    rows = [("voice", 86_400), ("voice", 301_148), ("data", 301_148), ("data", 2_678_401)]
    lines = [f"{n},491511000001,2024-05-01T10:00:00,{used},{kind}\n" for n, (kind, used) in enumerate(rows)]
    (tmp_path / "calls.csv").write_text("id,caller,at,used,kind\n" + "".join(lines))
    assert main(["ingest", "--project", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["sql", "SELECT source_row::INT AS n, rule FROM quarantine ORDER BY 1", "--json", "--project", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == [{"n": 1, "rule": "quantity: lies in the range of voice"}, {"n": 3, "rule": "quantity: lies in its range"}]


def test_a_range_of_its_own_replaces_the_plausible_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"unit": ', unit = "s"', "more": 'range = { quantity = ["0", "200000"] }'}
    assert rejected_rows(tmp_path, capsys, ["86401", "200001"], **settings) == [1]


def test_a_credit_may_have_a_negative_quantity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"stream": "charge", "amount": 'amount = "amount"', "unit": ', unit = "s"'}
    assert rejected_rows(tmp_path, capsys, ["-60", "-86401"], **settings) == [1]


def test_without_a_unit_no_quantity_is_too_large(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rejected_rows(tmp_path, capsys, ["136298900000"]) == []


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('{ column = "used", unit = "parsec" }', "columns.quantity.unit: must be 'ms', 's'"),
        ('{ column = "used", duration = "h:m:s", unit = "h" }', "a written `duration` is a number of seconds, times `scale`"),
        ('"used"\npeer = { column = "caller", unit = "s" }', "unit of peer has no effect for a column other than the quantity"),
    ],
)  # fmt: skip
def test_an_unknown_unit_or_one_of_another_kind_is_refused(
    written: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SETTINGS.format(stream="usage", service="voice", unit="", more="", amount="")
    (tmp_path / "trueup.toml").write_text(text.replace('{ column = "used" }', written))
    assert main(["ingest", "--project", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
