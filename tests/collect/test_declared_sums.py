"""Declared sums: the sum of a column that a trailer declares, compared with the sum that was read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from trueup.collect import ingest as ingest_module
from trueup.collect.commit.chain import CONTROL, hash_of
from trueup.collect.ingest import IngestSummary
from trueup.collect.recycle.recycle import recycle
from trueup.config import Project, parse
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.proof.verify import verify
from trueup.quality.completeness.controls import control

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]

NOW = datetime(2024, 6, 1, tzinfo=UTC)
CHARGES = """
[project]
currency = "EUR"
[[source]]
name = "billing"
stream = "charge"
path = "landing/*"
{settings}
[source.columns]
record_key = "line"
billed_at = "at"
amount = {amount}
{columns}
[source.constants]
service = "voice"
"""
LINES = "line,at,price\n1,2024-05-01 10:00:00,10.50\n2,2024-05-01 10:00:01,ten\n3,2024-05-01 10:00:02,-0.25\n"
SUMMED = r"framing = { trailer = '^TRL,(?P<records>[0-9]+),(?P<amount>.+)$' }"
FOUND = "SELECT reason, records_low, impact_low_micros, impact_high_micros, currency FROM lake.events.finding"


def charges(*, settings: str = SUMMED, amount: str = '"price"', columns: str = "") -> str:
    return CHARGES.format(settings=settings, amount=amount, columns=columns)


def read_findings(project: Project) -> list[tuple[object, ...]]:
    """Return the completeness findings of a project: reason, records, bounds of money, currency."""
    with Lake.open(project, clock=lambda: NOW) as lake:
        control(lake)
        return lake.connection.execute(FOUND).fetchall()


def test_a_trailer_that_declares_more_money_than_was_read_is_a_finding_of_that_money(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": f"{LINES}TRL,3,20.25\n"}, toml=charges())
    assert [(u.records, u.accepted, u.quarantined) for u in take_in(project).units] == [(3, 2, 1)]
    reason = "landing/a.csv declares amount 20.25 and holds 10.25"
    assert read_findings(project) == [(reason, None, 10_000_000, 10_000_000, "EUR")]


def test_a_unit_with_a_wrong_count_and_a_wrong_sum_is_one_finding_of_the_exact_money(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": f"{LINES}TRL,4,30\n"}, toml=charges() + 'currency = "USD"\n')
    take_in(project)
    reason = "landing/a.csv declares 4 records and holds 3; amount 30 and holds 10.25"
    assert read_findings(project) == [(reason, 1, 19_750_000, 19_750_000, "USD")]


def test_more_money_than_declared_is_a_finding_without_missing_money(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": f"{LINES}TRL,3,10\n"}, toml=charges())
    take_in(project)
    assert read_findings(project) == [("landing/a.csv declares amount 10 and holds 10.25", None, 0, 0, "EUR")]


@pytest.mark.parametrize(
    ("text", "trailer"),
    [
        (LINES.replace("ten", "9.75"), "TRL,3,20"),
        (LINES.replace("ten", "9.75"), "TRL,3,+20.000"),
        (LINES.replace("ten", "0.00000049"), "TRL,3,10.25000049"),
    ],
)
def test_a_declared_sum_that_agrees_raises_no_finding(calls: Write, take_in: TakeIn, text: str, trailer: str) -> None:
    project = calls({"a.csv": f"{text}{trailer}\n"}, toml=charges())
    take_in(project)
    assert read_findings(project) == []


def test_the_sum_of_a_file_counts_the_records_that_are_left_out_or_repeated(calls: Write, take_in: TakeIn) -> None:
    text = "line,at,price\n1,2024-05-01,1\n1,2024-05-01,1\n2,2024-05-01,2\n3,1924-05-01,4\nTRL,4,8.00\n"
    project = calls({"a.csv": text}, toml=charges(settings=f"{SUMMED}\nwhere = \"line <> '2'\""))
    (unit,) = take_in(project).units
    assert (unit.accepted, unit.duplicate, unit.filtered, unit.quarantined) == (1, 1, 1, 1)
    assert read_findings(project) == []
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("units", "counts", "chains")).sound


def test_a_declared_sum_is_read_in_the_notation_and_scale_of_its_column(calls: Write, take_in: TakeIn) -> None:
    text = "line;at;price\n1;2024-05-01;1.000,50\n2;2024-05-01;7\nTRL;2;1.107,50 €\n"
    amount = '{ column = "price", scale = 100, notation = { decimal = ",", grouping = ".", currency = ["€"] } }'
    settings = "delimiter = ';'\n" + r"framing = { trailer = '^TRL;(?P<records>[0-9]+);(?P<amount>.+)$' }"
    project = calls({"a.csv": text}, toml=charges(settings=settings, amount=amount))
    take_in(project)
    reason = "landing/a.csv declares amount 110750 and holds 100750"
    assert read_findings(project) == [(reason, None, 10_000_000_000, 10_000_000_000, "EUR")]


def test_a_declared_duration_of_calls_is_compared_as_one(calls: Write, take_in: TakeIn) -> None:
    settings = r"framing = { trailer = '^TRL,(?P<quantity>[0-9:]+)$' }"
    toml = charges(settings=settings).replace('"charge"', '"usage"').replace("billed_at", "started_at")
    toml = toml.replace('amount = "price"', 'quantity = { column = "price", duration = "h:m:s" }')
    project = calls({"a.csv": "line,at,price\n1,2024-05-01,00:01:00\n2,2024-05-01,00:02:00\nTRL,00:04:00\n"}, toml=toml)
    take_in(project)
    assert read_findings(project) == [("landing/a.csv declares quantity 240 and holds 180", None, None, None, "EUR")]


def test_amounts_of_several_currencies_have_no_sum_of_money(calls: Write, take_in: TakeIn) -> None:
    text = "line,at,price,money\n1,2024-05-01,1,EUR\n2,2024-05-01,2,USD\nTRL,2,5\n"
    project = calls({"a.csv": text}, toml=charges(columns='currency = "money"'))
    take_in(project)
    assert read_findings(project) == [("landing/a.csv declares amount 5 and holds 3", None, None, None, "EUR")]


def test_a_sum_beyond_64_bits_is_exact(calls: Write, take_in: TakeIn) -> None:
    text = "line,at,price\n1,2024-05-01,9000000000000\n2,2024-05-01,9000000000000.5\nTRL,2,18000000000001\n"
    project = calls({"a.csv": text}, toml=charges())
    take_in(project)
    assert read_findings(project) == [
        ("landing/a.csv declares amount 18000000000001 and holds 18000000000000.5", None, 500_000, 500_000, "EUR")
    ]


def test_a_declared_sum_that_is_not_a_number_refuses_the_file(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": f"{LINES}TRL,3,n/a\n"}, toml=charges())
    (error,) = take_in(project).errors
    assert (error.what, error.where) == ("its header or trailer declares an invalid sum of amount: 'n/a'", "landing/a.csv")


def test_sums_of_several_parts_are_proven_and_a_changed_one_is_tampering(
    calls: Write, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "PART_RECORDS", 2)
    project = calls({"a.csv": f"{LINES}TRL,3,20.25\n"}, toml=charges())
    (unit,) = take_in(project).units
    assert len(unit.positions) == 2
    assert read_findings(project)[0][2] == 10_000_000
    with Lake.open(project) as lake:
        assert verify(lake, only=("units", "counts", "chains")).sound
        lake.connection.execute("UPDATE lake.events.control SET sums = replace(sums, '20250000', '10250000')")
        kinds = {(fault.check, fault.kind) for fault in verify(lake, only=("units", "chains")).faults}
    assert {("units", "tampered"), ("chains", "tampered")} <= kinds


def test_records_of_a_framed_file_that_are_mapped_again_stay_proven(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": f"{LINES}TRL,3,20.25\n"}, toml=charges())
    take_in(project)
    project = calls(
        toml=charges(amount="{ expression = \"CASE WHEN price = 'ten' THEN 10 ELSE CAST(price AS DECIMAL(38, 2)) END\" }")
    )
    assert [unit.accepted for unit in recycle(project, clock=lambda: NOW).units] == [1]
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("units", "counts", "chains")).sound


def test_a_declared_sum_without_its_column_is_an_error() -> None:
    with pytest.raises(ConfigError, match="finds the sum of amount, which stream usage does not have"):
        parse(
            '[[source]]\nname = "msc"\nstream = "usage"\npath = "x.csv"\nidentity = "content"\n'
            + "framing = { trailer = '(?P<amount>.*)' }"
        )


def test_the_hash_of_a_control_row_covers_its_sums_and_is_that_of_earlier_versions_without() -> None:
    row: dict[str, object] = dict.fromkeys(CONTROL) | {"previous_hash": "", "records": 1}
    earlier = {name: value for name, value in row.items() if name != "sums"}
    assert hash_of(earlier) == hash_of(row) != hash_of({**row, "sums": "{}"})
