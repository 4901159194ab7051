"""Migration: opening a lake of an earlier version for writing adds what it lacks and keeps its rows."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import polars as pl
import pytest

from trueup.config import Project, parse
from trueup.errors import LogError
from trueup.log import lake as lake_module
from trueup.log.lake import Lake
from trueup.log.migrate import declared, missing, names, schema


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Create a lake of a version without states and without causes of findings, with one finding."""
    project = Project(tmp_path, parse(""))
    earlier = tuple(
        s.replace("    cause VARCHAR,\n", "") for s in schema() if "events.tariff" not in s and "events.subscriber" not in s
    )
    with monkeypatch.context() as patch:
        patch.setattr(lake_module, "schema", lambda: earlier)
        patch.setattr(lake_module, "missing", lambda _: [])
        Lake.create(project)
        with Lake.open(project) as lake:
            lake.commit(lambda t: (t.append("finding", pl.DataFrame({"kind": ["unbilled"]})), t.next_position("unit")))
    return project


def test_opening_for_writing_adds_tables_and_columns_and_keeps_the_rows(old: Project) -> None:
    with Lake.open(old) as lake:
        assert missing(lake.connection) == []
        assert lake.read("tariff").height == lake.read("subscriber").height == 0
        assert lake.read("finding", columns=["kind", "cause"]).rows() == [("unbilled", None, 1)]
        lake.commit(
            lambda t: (t.append("finding", pl.DataFrame({"kind": ["unrated"], "cause": ["arrival"]})), t.next_position("unit"))
        )
        assert lake.read("finding", columns=["cause"], after=1)["cause"].to_list() == ["arrival"]
        assert lake.last_position() == 2
    with Lake.open(old, read_only=True) as lake:
        assert set(lake.read("tariff").columns) == {*declared()["tariff"], "position"}


def test_reading_a_lake_before_its_migration_raises_an_error_with_advice(old: Project) -> None:
    with pytest.raises(LogError, match="earlier version") as raised, Lake.open(old, read_only=True):
        pass
    assert "trueup ingest" in str(raised.value)


def test_the_names_read_from_the_schema_are_those_that_duckdb_creates() -> None:
    assert names() == {(table, column) for table, columns in declared().items() for column in columns}


def _open_lake(project: Project) -> None:
    with Lake.open(project):
        pass


def test_processes_that_open_an_old_lake_at_once_migrate_it_together(old: Project) -> None:
    processes = [multiprocessing.get_context("spawn").Process(target=_open_lake, args=(old,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with Lake.open(old, read_only=True) as lake:
        assert missing(lake.connection) == []
