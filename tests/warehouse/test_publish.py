"""Publishing writes a complete file, replaces the previous one atomically, and changes no other file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from trueup.config import Project, parse
from trueup.errors import LogError, TrueupError
from trueup.log.lake import Lake
from trueup.warehouse import install_views
from trueup.warehouse.publish import find_published, publish
from trueup.warehouse.query import Warehouse, with_retries
from trueup.warehouse.statements import names


def test_the_views_are_plain_tables_with_their_comments(project: Project, tmp_path: Path) -> None:
    target = tmp_path / "it's leakage.duckdb"
    done = publish(project, target)
    assert done.position == 4
    with duckdb.connect(str(target), read_only=True) as file:
        tables = {name for (name,) in file.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert tables == {*install_views.VIEWS, "published"}
        assert file.execute("SELECT count(*), sum(impact) FILTER (status = 'open') FROM findings").fetchone() == (4, -50)
        assert file.execute("SELECT count(*) FROM duckdb_columns() WHERE comment IS NULL AND NOT internal").fetchone() == (0,)
        query = "SELECT position, reconciled_position, as_of IS NOT NULL, version <> '', timezone FROM published"
        assert file.execute(query).fetchone() == (4, 4, True, True, "Asia/Jakarta")
        assert done.rows["findings"] == 4
    assert [p.name for p in tmp_path.iterdir() if "publish" in p.name] == []


@pytest.mark.parametrize("as_of", [None, pytest.param("3", marks=pytest.mark.slow)])
def test_each_table_has_the_rows_and_types_of_its_view(project: Project, tmp_path: Path, as_of: str | None) -> None:
    publish(project, tmp_path / "leakage.duckdb", as_of=as_of)

    def compare(warehouse: Warehouse) -> None:
        install_views.create_views(warehouse.lake.connection)
        with duckdb.connect(str(tmp_path / "leakage.duckdb"), read_only=True) as file:
            file.execute("SET TimeZone = 'UTC'")
            for name in install_views.VIEWS:
                view, table = warehouse.lake.connection.sql(f"FROM memory.main.{name}"), file.sql(f"FROM {name}")
                assert (view.columns, view.types) == (table.columns, table.types), name
                assert sorted(map(repr, view.fetchall())) == sorted(map(repr, table.fetchall())), name

    with_retries(project, compare, as_of)


def test_an_old_state_can_be_published(project: Project, tmp_path: Path) -> None:
    publish(project, tmp_path / "old.duckdb", as_of="3")
    with duckdb.connect(str(tmp_path / "old.duckdb"), read_only=True) as file:
        assert file.execute("SELECT position, reconciled_position FROM published").fetchone() == (3, 3)
        assert file.execute("SELECT status FROM findings WHERE kind = 'unbilled'").fetchone() == ("open",)


def test_a_reader_of_the_previous_file_continues_to_read_it(project: Project, tmp_path: Path) -> None:
    target = tmp_path / "leakage.duckdb"
    publish(project, target, as_of="3")
    with duckdb.connect(str(target), read_only=True) as reader:
        publish(project, target)
        assert reader.execute("SELECT position FROM published").fetchone() == (3,)
    with duckdb.connect(str(target), read_only=True) as reader:
        assert reader.execute("SELECT position FROM published").fetchone() == (4,)


def test_a_failed_publish_leaves_the_previous_file(project: Project, tmp_path: Path) -> None:
    target = tmp_path / "leakage.duckdb"
    publish(project, target)
    before = target.read_bytes()
    for file in (project.directory / "lake/data/events/quarantine").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(LogError, match="is missing"):
        publish(project, target)
    assert target.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["leakage.duckdb", "project"]


def test_publish_replaces_the_remains_of_a_killed_one(project: Project, tmp_path: Path) -> None:
    (tmp_path / ".leakage.duckdb.publishing").write_bytes(b"half a file")
    (tmp_path / ".leakage.duckdb.publishing.wal").write_bytes(b"half a log")
    publish(project, tmp_path / "leakage.duckdb")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["leakage.duckdb", "project"]


@pytest.mark.parametrize("name", ["notes.txt", "own.duckdb", "folder", "missing/leakage.duckdb"])
def test_a_file_that_publish_did_not_write_is_not_replaced(project: Project, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("own notes")
    (tmp_path / "folder").mkdir()
    with duckdb.connect(str(tmp_path / "own.duckdb")) as own:
        own.execute("CREATE TABLE own_table AS SELECT 1")
    with pytest.raises(TrueupError) as raised:
        publish(project, tmp_path / name)
    assert "\n" not in str(raised.value)
    assert (tmp_path / "notes.txt").read_text() == "own notes"
    assert duckdb.connect(str(tmp_path / "own.duckdb")).execute("FROM own_table").fetchone() == (1,)


def test_a_published_file_that_another_program_changed_is_not_replaced(project: Project, tmp_path: Path) -> None:
    target = tmp_path / "leakage.duckdb"
    publish(project, target)
    (tmp_path / "leakage.duckdb.wal").write_bytes(b"a change of another program")
    with pytest.raises(TrueupError, match="another program is writing"):
        publish(project, target)


LEAKAGE = "queries/status/leakage_summary"


def _current_position(project: Project, target: Path) -> int | None:
    """Return the position of a published file that is up to date, else None."""
    found = with_retries(project, lambda warehouse: find_published(warehouse, target, LEAKAGE))
    return None if found is None else found[0].position


def test_a_file_is_up_to_date_until_the_next_commit(project: Project, tmp_path: Path, make: Any) -> None:
    target, audits = tmp_path / "leakage.duckdb", len(names("audits"))
    assert _current_position(project, target) is None
    done = publish(project, target, audits_passed=audits)
    leakage = with_retries(project, lambda warehouse: warehouse.rows(LEAKAGE))
    assert leakage
    assert with_retries(project, lambda warehouse: find_published(warehouse, target, LEAKAGE)) == (done, leakage)
    decided = {"finding_id": make.event_id("f3"), "decision": "dismissed", "decided_at": datetime(2024, 3, 3, 6, tzinfo=UTC)}
    with Lake.open(project) as lake:
        # A decision has no position, so the commit itself makes the file outdated.
        make.append(lake, "decision", [decided])
    assert _current_position(project, target) is None


def test_a_file_is_outdated_when_settings_views_or_audits_differ(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, audits = tmp_path / "leakage.duckdb", len(names("audits"))
    publish(project, target, audits_passed=audits)
    toml = (project.directory / "trueup.toml").read_text("utf-8")
    for old, new in (('"Asia/Jakarta"', '"Asia/Tokyo"'), ('"IDR"', '"USD"')):
        assert _current_position(Project(project.directory, parse(toml.replace(old, new, 1))), target) is None
    with monkeypatch.context() as patch:
        patch.setattr("trueup.warehouse.publish.version", lambda: "another")
        assert _current_position(project, target) is None
    with monkeypatch.context() as patch:
        patch.setattr("trueup.warehouse.publish.install_views.VIEWS", install_views.VIEWS[:-1])
        assert _current_position(project, target) is None
    assert _current_position(project, target) == 4
    publish(project, target, audits_passed=audits - 1)
    assert _current_position(project, target) is None
    publish(project, target)
    assert _current_position(project, target) is None


def test_a_file_of_an_earlier_state_or_version_is_outdated(project: Project, tmp_path: Path) -> None:
    target, audits = tmp_path / "leakage.duckdb", len(names("audits"))
    publish(project, target, as_of="4", audits_passed=audits)
    assert _current_position(project, target) is None
    publish(project, target, audits_passed=audits)
    with duckdb.connect(str(target)) as file:
        file.execute("ALTER TABLE published DROP COLUMN state")
    assert _current_position(project, target) is None
