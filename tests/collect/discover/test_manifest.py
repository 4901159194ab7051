"""Manifests: files wait for them, and their declarations are compared with the files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from trueup.collect.ingest import IngestSummary, ingest
from trueup.collect.watch import Watch
from trueup.config import Project
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.quality.completeness.controls import control

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]
NOW = datetime(2024, 6, 1, tzinfo=UTC)
COUNTED = """manifest = { path = "{name}.ctl", pattern = 'RECORDS=(?P<records>[0-9]+)' }"""
SUMMED = """manifest = { path = "{stem}.sha256", pattern = '^(?P<sha256>[0-9A-Fa-f]{64}) ' }"""
LISTED = """manifest = { path = "delivery.txt", pattern = '(?m)^{name};(?P<records>[0-9]+)$' }"""
FILE = "id,caller,at,seconds\n1,a,2024-05-01 10:00:00,5\n2,a,2024-05-01 10:00:01,5\n"


def declared(project: Project, query: Query) -> list[tuple[str, int | None]]:
    rows = query(project, "SELECT path, declared_records FROM lake.events.control ORDER BY path")
    return [(Path(path).name, records) for path, records in rows.rows()]


def test_a_file_waits_for_its_manifest_which_is_not_ingested(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": FILE}, settings=COUNTED)
    waiting = take_in(project)
    assert waiting.units == []
    assert "1 not complete yet" in waiting.notices[0]
    (project.directory / "landing/a.csv.ctl").write_text("RECORDS=2\n")
    taken = take_in(project)
    assert [(Path(u.path).name, u.accepted) for u in taken.units] == [("a.csv", 2)]
    assert taken.errors == []
    assert declared(project, query) == [("a.csv", 2)]


def test_fewer_records_than_declared_are_a_finding_with_the_difference(calls: Write) -> None:
    project = calls({"a.csv": FILE, "a.csv.ctl": "RECORDS=5\n"}, settings=COUNTED)
    ingest(project, clock=lambda: NOW)
    with Lake.open(project, clock=lambda: NOW) as lake:
        control(lake)
        findings = lake.connection.execute(
            "SELECT kind, control, reason, records_low, records_high FROM lake.events.finding"
        ).fetchall()
    assert findings == [("total_mismatch", "declared", "landing/a.csv declares 5 records and holds 2", 3, 3)]


def test_one_manifest_may_declare_many_files(calls: Write, take_in: TakeIn, query: Query) -> None:
    other = FILE.replace("\n1,", "\n3,").replace("\n2,", "\n4,")
    project = calls({"a.csv": FILE, "b.csv": other, "delivery.txt": "a.csv;2\nb.csv;7\n"}, settings=LISTED)
    assert take_in(project).errors == []
    assert declared(project, query) == [("a.csv", 2), ("b.csv", 7)]


def test_a_file_without_an_entry_in_its_manifest_is_refused(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": FILE, "delivery.txt": "aXcsv;2\n"}, settings=LISTED)
    (error,) = take_in(project).errors
    assert "manifest delivery.txt has no entry for it" in str(error)


def test_bytes_other_than_declared_are_refused_until_the_right_ones_arrive(calls: Write, take_in: TakeIn) -> None:
    summed = hashlib.sha256(FILE.encode()).hexdigest().upper()
    project = calls({"a.csv": FILE.replace(",5\n", ",6\n"), "a.sha256": f"{summed}  a.csv\n"}, settings=SUMMED)
    wrong = take_in(project)
    assert wrong.units == []
    assert "is not the one that its manifest a.sha256 declares" in str(wrong.errors[0])
    (project.directory / "landing/a.csv").write_text(FILE)
    right = take_in(project)
    assert [u.accepted for u in right.units] == [2]
    assert right.errors == []


def test_a_watched_file_is_read_again_when_its_manifest_is_corrected(calls: Write) -> None:
    project = calls({"a.csv": FILE, "a.csv.ctl": "soon\n"}, settings=COUNTED)
    looking = Watch(project, clock=lambda: NOW)
    first = looking.look()
    assert first is not None
    assert len(first.errors) == 1
    assert looking.look() is None, "nothing has changed"
    (project.directory / "landing/a.csv.ctl").write_text("RECORDS=2\n")
    again = looking.look()
    assert again is not None
    assert [u.accepted for u in again.units] == [2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("""manifest = { path = "{name}.ctl", pattern = 'RECORDS=([0-9]+)' }""", "must have a group"),
        ("""manifest = { path = "all.txt", pattern = '(?P<records>[0-9]+)' }""", "contains the file.s name"),
        ("""manifest = { path = "{name}.ctl", pattern = '(' }""", "invalid pattern"),
    ],
)
def test_contradictory_manifest_settings_are_refused(calls: Write, settings: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        calls(settings=settings)
