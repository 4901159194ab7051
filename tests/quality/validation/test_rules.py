"""Suites, expectations that a project adds, and records that they quarantine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from switch_feed import SWITCH

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.proof.verify import verify
from trueup.quality.project_expectations import expectations, row_rules
from trueup.quality.row_rules import row_rule
from trueup.quality.suites import SUITES

TOML = SWITCH
OWN = """
[[expectation]]
name = "a node of ours"
stream = "usage"
type = "expect_column_values_to_match_regex"
severity = "quarantine"
notes = "Records of another operator's switch are billed to no customer here."
arguments = { column = "node", regex = "^MSC[0-9]{2}$" }
"""
FILE = """
from trueup.quality.expectation import Expectation
EXPECTATIONS = [Expectation(
    "no test number", "usage", "expect_column_values_to_not_be_in_set", {"column": "subscriber", "value_set": ["000"]},
    "quarantine", "Test calls are billed to no customer.",
)]
"""


def project(folder: Path, added: str = "", file: str = "") -> Project:
    (folder / "landing").mkdir()
    (folder / "landing/a.csv").write_text(
        "id,caller,at,seconds,node\n1,491,2024-03-01T00:00:00,5,MSC01\n2,492,2024-03-01T00:00:01,5,XYZ\n3,000,2024-03-01T00:00:02,5,MSC02\n"
    )
    (folder / "more.py").write_text(file)
    (folder / "trueup.toml").write_text(TOML + added)
    return Project.load(folder)


def test_every_expectation_has_a_reason_and_row_rules_compile() -> None:
    for stream, suite in SUITES.items():
        assert len({e.name for e in suite}) == len(suite) > 0
        for e in suite:
            assert e.stream == stream
            assert len(e.notes) > 30
            if e.severity == "quarantine":
                row_rule(e)


def test_a_record_that_breaks_a_row_rule_is_quarantined_with_the_rules_name(tmp_path: Path) -> None:
    made = project(tmp_path, OWN + '[quality]\nfile = "more.py"\n', FILE)
    summary = ingest(made, clock=lambda: datetime(2024, 3, 2, tzinfo=UTC))
    (unit,) = summary.units
    assert (unit.accepted, unit.quarantined) == (1, 2)
    with Lake.open(made, read_only=True) as lake:
        kept = lake.connection.execute("SELECT source_row, reason, rule, raw FROM lake.events.quarantine ORDER BY 1").fetchall()
        assert verify(lake, only=("units",)).sound
    assert kept == [
        (1, "value_out_of_range", "node: a node of ours", b"2,492,2024-03-01T00:00:01,5,XYZ"),
        (2, "value_out_of_range", "subscriber: no test number", b"3,000,2024-03-01T00:00:02,5,MSC02"),
    ]


def test_a_row_rule_that_does_not_compile_stops_before_any_ingest(tmp_path: Path) -> None:
    wrong = OWN.replace("expect_column_values_to_match_regex", "expect_column_values_to_be_json_parseable")
    made = project(tmp_path, wrong)
    with pytest.raises(ConfigError, match="is not a row rule"):
        ingest(made, clock=lambda: datetime(2024, 3, 2, tzinfo=UTC))
    assert not (tmp_path / "lake").exists()


def test_a_rule_may_be_of_one_source_only(tmp_path: Path) -> None:
    made = project(tmp_path, OWN.replace('stream = "usage"', 'stream = "usage"\nsource = "msc"'))
    (msc,) = made.config.source
    assert "a node of ours" in {r.expectation.name for r in row_rules(made, msc)}
    assert "a node of ours" not in {r.expectation.name for r in row_rules(made, msc.model_copy(update={"name": "other"}))}


def test_a_repeated_name_and_an_unknown_source_are_refused(tmp_path: Path) -> None:
    made = project(tmp_path, OWN + OWN)
    with pytest.raises(ConfigError, match="two expectations"):
        expectations(made, "usage")
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ConfigError, match="no source 'pgw'"):
        expectations(project(other, OWN.replace('stream = "usage"', 'stream = "usage"\nsource = "pgw"')), "usage")
