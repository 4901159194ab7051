"""Corrections: of a record with versions the greatest counts, whenever it arrives."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trueup.cli import main
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.verify import verify

SETTINGS = """
[project]
timezone = "UTC"
currency = "EUR"
[[source]]
name = "switch"
stream = "usage"
path = "landing/usage*.csv"
[source.columns]
record_key = "id"
session_key = "id"
subscriber = "caller"
started_at = "at"
quantity = "seconds"
record_version = "version"
[source.constants]
service = "voice"
[[source]]
name = "bill"
stream = "charge"
path = "landing/charges*.csv"
[source.columns]
record_key = "id"
session_key = "id"
subscriber = "caller"
started_at = "at"
amount = "amount"
record_version = "version"
[source.constants]
service = "voice"
[reconcile.voice]
price = "0.01"
grace = "1h"
"""
AT = "2024-05-01T10:00:00"
FIRST, SECOND, THIRD = (f"a,491511000001,{AT},{amount},{version}" for amount, version in (("0.90", 1), ("0.30", 2), ("0.60", 10)))

Rows = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with one call of 60 s, whose price is 0.60, and no charge yet."""
    monkeypatch.setenv("TRUEUP_NOW", "2024-05-10T00:00:00+00:00")
    (tmp_path / "landing").mkdir()
    (tmp_path / "trueup.toml").write_text(SETTINGS)
    (tmp_path / "landing/usage.csv").write_text(f"id,caller,at,seconds,version\na,491511000001,{AT},60,\n")
    return tmp_path


@pytest.fixture
def rows(project: Path, capsys: pytest.CaptureFixture[str]) -> Rows:
    """Return a function that returns the rows of a query."""

    def run(query: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main(["sql", query, "--json", "--project", str(project)]) == 0, capsys.readouterr().err
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out, parse_float=Decimal)
        return found

    return run


def deliver(project: Path, files: Sequence[Sequence[str]]) -> None:
    """Ingest and reconcile the charges of each file in turn, with both feeds complete from the first one on."""
    for number, lines in enumerate(files, start=len(list((project / "landing").glob("charges*.csv")))):
        text = "id,caller,at,amount,version\n" + "".join(f"{line}\n" for line in lines)
        (project / f"landing/charges{number}.csv").write_text(text)
        assert main(["ingest", "--project", str(project)]) == 0
        for source in ("switch", "bill") if not number else ():
            assert main(["close", "--source", source, "--through", "2024-05-09", "--project", str(project)]) == 0
        assert main(["reconcile", "--project", str(project)]) == 0


def test_a_later_version_replaces_the_content_and_revises_the_finding(project: Path, rows: Rows) -> None:
    deliver(project, [[FIRST], [SECOND], [THIRD]])
    history = rows("SELECT kind, action, cause, impact FROM finding_history ORDER BY position")
    assert [(row["kind"], row["action"], row["cause"], row["impact"]) for row in history] == [
        ("misrated", "raised", "arrival", Decimal("-0.3")), ("misrated", "revised", "correction", Decimal("0.3")),
        ("misrated", "retracted", "correction", Decimal("0.3")),
    ]  # fmt: skip


def test_a_lesser_version_that_arrives_later_has_no_effect_and_every_version_is_proven(
    project: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(project, [[SECOND], [THIRD], [FIRST]])
    assert rows("SELECT kind FROM findings WHERE status = 'open'") == []
    assert rows("SELECT sum(billed_micros)::INT AS n FROM conservation") == [{"n": 600_000}]
    assert rows("SELECT sum(accepted)::INT AS n FROM source_units WHERE source = 'bill'") == [{"n": 3}]
    assert rows("SELECT DISTINCT canonical_version::INT AS n FROM lake.events.charge") == [{"n": 2}]
    with Lake.open(Project.load(project), read_only=True) as lake:
        assert verify(lake).sound
    digests = []
    for arguments in ([], ["--recompute", "plain"]):
        capsys.readouterr()
        assert main(["digest", *arguments, "--project", str(project)]) == 0
        digests.append(capsys.readouterr().out)
    assert digests[0] == digests[1]


def test_a_version_that_returns_to_an_earlier_content_counts(project: Path, rows: Rows) -> None:
    # The third version has the content of the first: it is a record of its own, not a duplicate.
    deliver(project, [[FIRST], [SECOND, FIRST.removesuffix(",1") + ",3"]])
    assert rows("SELECT impact FROM findings WHERE status = 'open'") == [{"impact": Decimal("-0.3")}]
    assert rows("SELECT sum(duplicate)::INT AS n FROM source_units") == [{"n": 0}]


def test_a_correction_of_the_subscriber_is_another_record_and_is_named(
    project: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(project, [[THIRD, SECOND.replace("491511000001", "491511000002").removesuffix(",2") + ",11"]])
    assert rows("SELECT kind FROM findings WHERE status = 'open'") == [{"kind": "charge_without_usage"}]
    capsys.readouterr()
    assert main(["status", "--check", "--project", str(project)]) == 1
    named = "source bill: 1 charge records such as a have versions with different subscriber, which all count"
    assert named in capsys.readouterr().err
