"""Inputs of the controls, loaded from a real lake."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from trueup.collect.ingest import ingest
from trueup.config import Project, parse
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.quality.completeness import load
from trueup.quality.policy import policy_of

TOML = """
[[source]]
name = "msc"
stream = "usage"
path = "*.csv"
[source.columns]
record_key = "id"
peer = "called"
started_at = "at"
node = "node"
[source.constants]
service = "voice"
quantity = "1"
[source.feed]
destination = '^[+](?P<destination>[0-9]{2})'
"""
CALLS = """id,called,at,node
1,+4930,2024-03-01T00:10:00,M1
2,+4940,2024-03-01T00:20:00,M1
3,+3310,2024-03-01T01:00:00,M1
4,112,2024-03-01T01:00:00,M1
5,,2024-03-01T01:00:00,M1
"""


def test_records_are_counted_by_destination(tmp_path: Path) -> None:
    (tmp_path / "trueup.toml").write_text(TOML)
    (tmp_path / "a.csv").write_text(CALLS)
    made = Project.load(tmp_path)
    ingest(made, clock=lambda: datetime(2024, 3, 2, tzinfo=UTC))
    with Lake.open(made, read_only=True) as lake:
        inputs = load.load_inputs(lake, policy_of(made).rules, after=0, upto=lake.last_position())
    rows = inputs.destinations.select("node", "destination", "records").sort("destination").rows()
    assert rows == [("M1", "33", 1), ("M1", "49", 2)]


def test_a_pattern_that_names_no_destination_is_refused() -> None:
    with pytest.raises(ConfigError, match="which finds the peer's destination"):
        parse(TOML.replace("?P<destination>", "?:"), where="trueup.toml")


@pytest.mark.parametrize(
    "feed",
    ["destination = '^(?=[+])(?P<destination>[+][0-9]{2})'", "record = '(?<=-)(?P<sequence>[0-9]+)$'"],
    ids=["destination", "record"],
)
def test_a_pattern_that_queries_cannot_read_is_refused(feed: str) -> None:
    with pytest.raises(ConfigError, match="queries cannot read the pattern"):
        parse(TOML.partition("destination")[0] + feed, where="trueup.toml")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("cdr-7.csv", 7), ("cdr-0009223372036854775807.csv", 2**63 - 1), ("cdr-9223372036854775808.csv", None),
        ("cdr-20240301120000000123.csv", None), ("cdr-7a.csv", None), ("cdr.csv", None),
    ],
)  # fmt: skip
def test_a_file_whose_name_has_no_number_of_64_bits_has_no_number(tmp_path: Path, name: str, number: int | None) -> None:
    (tmp_path / "trueup.toml").write_text(TOML + "file = '^cdr(-(?P<sequence>\\w+))?[.]'\n")
    (tmp_path / name).write_text(CALLS)
    made = Project.load(tmp_path)
    ingest(made, clock=lambda: datetime(2024, 3, 2, tzinfo=UTC))
    with Lake.open(made, read_only=True) as lake:
        inputs = load.load_inputs(lake, policy_of(made).rules, after=0, upto=lake.last_position())
    assert inputs.units["number"].to_list() == [number]
