"""Corrections: the greatest version of a record counts, whenever it arrives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rewriting import add, delete, edit

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
    """Ingest and reconcile the charges of each file in turn, with both feeds complete from the first file on."""
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
    # The third version has the content of the first version, but counts as a correction, not as a duplicate.
    deliver(project, [[FIRST], [SECOND, FIRST.removesuffix(",1") + ",3"]])
    assert rows("SELECT impact FROM findings WHERE status = 'open'") == [{"impact": Decimal("-0.3")}]
    assert rows("SELECT sum(duplicate)::INT AS n FROM source_units") == [{"n": 0}]


# --- versions under another bucket key --------------------------------------------------------------------------------

OTHER = "491511000002"
HISTORY = "SELECT kind, subscriber, action, cause FROM finding_history ORDER BY position, kind, subscriber"
BILLED = "SELECT sum(billed_micros)::INT AS micros, sum(difference_micros)::INT AS difference FROM conservation"


def of_other(version: int, amount: str = "0.60") -> str:
    """Return a version of the charge that belongs to the other subscriber."""
    return f"a,{OTHER},{AT},{amount},{version}"


def assert_sound(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that verification and all audits pass, and that recomputed findings equal the stored findings."""
    with Lake.open(Project.load(project), read_only=True) as lake:
        assert verify(lake).faults == ()
    assert main(["status", "--check", "--project", str(project)]) == 0, capsys.readouterr().err
    digests = []
    for arguments in ([], ["--recompute", "plain"]):
        capsys.readouterr()
        assert main(["digest", *arguments, "--project", str(project)]) == 0
        digests.append(capsys.readouterr().out)
    assert digests[0] == digests[1]


def test_a_version_of_another_subscriber_withdraws_the_record_of_the_former_one_and_the_next_brings_it_back(
    project: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(project, [[THIRD], [of_other(11)]])
    assert [tuple(row.values()) for row in rows(HISTORY)] == [
        ("charge_without_usage", OTHER, "raised", "correction"), ("unbilled", "491511000001", "raised", "correction"),
    ]  # fmt: skip
    assert rows(BILLED) == [{"micros": 600_000, "difference": 0}]
    assert rows("SELECT subscriber FROM steps.invoice_charge") == [{"subscriber": OTHER}]
    deliver(project, [[THIRD.replace(",10", ",12")]])
    assert rows("SELECT kind FROM findings WHERE status = 'open'") == []
    assert {(row["action"], row["cause"]) for row in rows(HISTORY)[2:]} == {("retracted", "correction")}
    assert rows(BILLED) == [{"micros": 600_000, "difference": 0}]
    assert_sound(project, capsys)


def test_a_lesser_version_of_another_subscriber_that_arrives_later_never_counts(project: Path, rows: Rows) -> None:
    deliver(project, [[of_other(11)], [THIRD]])
    assert [row["kind"] for row in rows("SELECT kind FROM findings WHERE status = 'open' ORDER BY kind")] == [
        "charge_without_usage", "unbilled",
    ]  # fmt: skip
    assert rows(BILLED) == [{"micros": 600_000, "difference": 0}]
    assert rows("SELECT sum(records)::INT AS records, sum(accepted)::INT AS accepted FROM source_units WHERE source = 'bill'") == [
        {"records": 2, "accepted": 2}
    ]


def test_an_equal_version_of_another_subscriber_is_a_conflict_and_a_version_that_is_not_a_number_is_quarantined(
    project: Path, rows: Rows
) -> None:
    deliver(project, [[THIRD], [of_other(10, "0.30"), of_other(11).removesuffix("11") + "eleven"]])
    found = rows("SELECT kind, subscriber, impact FROM findings WHERE status = 'open'")
    assert found == [{"kind": "conflicting_charge", "subscriber": "491511000001", "impact": Decimal(0)}]
    assert rows("SELECT reason FROM quarantine") == [{"reason": "unparsable"}]
    assert rows(BILLED) == [{"micros": 600_000, "difference": 0}]


def test_a_version_of_another_subscriber_behind_the_horizon_is_refused(project: Path, rows: Rows) -> None:
    text = SETTINGS.replace('currency = "EUR"', 'currency = "EUR"\nhorizon = "2d"')
    (project / "trueup.toml").write_text(text)
    deliver(project, [[THIRD], [of_other(11, "0.30")]])
    found = rows("SELECT kind, subscriber, impact FROM findings WHERE status = 'open'")
    assert found == [{"kind": "conflicting_charge", "subscriber": "491511000001", "impact": Decimal(0)}]
    assert rows(BILLED) == [{"micros": 600_000, "difference": 0}]


def test_records_of_two_subscribers_that_were_delivered_before_versions_were_mapped_all_count_and_are_named(
    project: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    before, version, after = SETTINGS.rpartition('record_version = "version"\n')
    (project / "trueup.toml").write_text(before + after)
    deliver(project, [[FIRST, of_other(2)]])
    (project / "trueup.toml").write_text(before + version + after)
    deliver(project, [[THIRD, of_other(11, "0.10")]])
    assert rows(BILLED) == [{"micros": 700_000, "difference": 0}]
    capsys.readouterr()
    assert main(["status", "--check", "--project", str(project)]) == 1
    named = "source bill: 1 charge records such as a have versions with different subscriber, which all count"
    assert named in capsys.readouterr().err


def test_verify_finds_a_moved_content_that_was_removed_changed_or_added(project: Path) -> None:
    deliver(project, [[THIRD], [of_other(11)]])
    changes = {
        "control row declares 2 moved contents, but the log has 1": delete("moved", lambda row: row["delivered_key"] == OTHER),
        "lacks this content": delete("moved", lambda row: row["delivered_key"] == OTHER),
        "control row declares 2 moved contents, but the log has 0": delete("moved", lambda row: True),
        "not that of its event": edit("moved", lambda row: row["delivered_key"] == OTHER, record_version=1),
        "no content of the record under another bucket key": edit("moved", lambda row: row["bucket_key"] == OTHER, bucket_key="4"),
        "2 rows for one bucket key": add("moved", lambda row: row["bucket_key"] == OTHER),
    }  # fmt: skip
    for number, (detail, change) in enumerate(changes.items()):
        copy = shutil.copytree(project, project.parent / f"copy{number}")
        change(copy)
        with Lake.open(Project.load(copy), read_only=True) as lake:
            faults = verify(lake, only=("moved",)).faults
        assert any(detail in fault.detail for fault in faults), (detail, faults)
