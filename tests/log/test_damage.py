"""Damage of the lake: the error names the damaged file; a mistake in a query is not reported as damage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from trueup.config import Project, parse
from trueup.errors import DamagedError, LogError, QueryError
from trueup.log.damage import damaged_files
from trueup.log.lake import Lake
from trueup.warehouse.query import run

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Create a lake with two commits of usage, one file each."""
    project = Project(tmp_path, parse(""))
    Lake.create(project)
    for name in ("first", "second"):
        rows = pl.DataFrame(
            {"record_key": [f"{name} {n}" for n in range(50)], "bucket": [n % 4 for n in range(50)], "day": [NOON.date()] * 50}
        )
        with Lake.open(project, clock=lambda: NOON) as lake:
            lake.commit(lambda transaction, rows=rows: (transaction.append("usage", rows), transaction.next_position("unit")))
    return project


def usage_files(project: Project) -> list[Path]:
    return sorted((project.directory / "lake/data/events/usage").rglob("*.parquet"))


def overwrite(at: Callable[[int], int], with_: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        start = at(len(data))
        data[start : start + len(with_)] = with_
        path.write_bytes(data)

    return change


def rows_of_query(project: Project, query: str) -> list[tuple[object, ...]]:
    with run(project, query) as answer:
        return list(answer.rows())


def footer(size: int) -> int:
    return size - 150


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b"") and None,  # type: ignore[func-returns-value]
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-20]) and None,  # type: ignore[func-returns-value]
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]) and None,  # type: ignore[func-returns-value]
    "zeros at its end": overwrite(lambda size: size - 8, bytes(8)),
    "invalid footer": overwrite(footer, b"\xff" * 16),
    "invalid page header": overwrite(lambda _: 4, b"\xff" * 8),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_the_error_names_the_damaged_data_file(project: Project, what: str) -> None:
    damaged = usage_files(project)[0]
    DAMAGES[what](damaged)
    with pytest.raises(DamagedError, match=r"is (damaged|missing).*restore it from a backup; `trueup verify` lists all") as raised:
        rows_of_query(project, "SELECT * FROM lake.events.usage")
    assert str(damaged) in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(DamagedError, match=str(damaged)), Lake.open(project, read_only=True) as lake:
        lake.read("usage")
    with pytest.raises(DamagedError, match=str(damaged)), Lake.open(project, clock=lambda: NOON) as lake:
        lake.commit(lambda transaction: transaction.connection.execute("SELECT * FROM lake.events.usage").fetchall())


def test_all_damaged_files_are_listed(project: Project) -> None:
    assert list(damaged_files(project)) == []
    for path, what in zip(usage_files(project), ("missing", "invalid page header"), strict=True):
        DAMAGES[what](path)
    raised = [str(error) for error in damaged_files(project)]
    assert len(raised) == 2
    assert all(any(str(path) in text for text in raised) for path in usage_files(project))


@pytest.mark.parametrize("query", [
    "SELECT record_key::INT FROM lake.events.usage", "SELECT error('it is damaged: x.parquet.')", "SELECT nothing",
    "SELECT strptime(record_key, '%Y') FROM lake.events.usage",
])  # fmt: skip
def test_a_mistake_in_a_query_is_not_reported_as_damage(project: Project, query: str) -> None:
    with pytest.raises(QueryError, match="correct the query"):
        rows_of_query(project, query)


def test_an_internal_query_that_fails_does_not_blame_the_user(project: Project) -> None:
    from trueup.warehouse.query import with_retries

    with pytest.raises(QueryError) as raised:
        with_retries(project, lambda warehouse: warehouse.connection.execute("SELECT nothing"))
    assert "correct the query" not in str(raised.value)


@pytest.mark.parametrize("data", [b"hello" * 1000, bytes(4096), None])
def test_the_error_names_the_damaged_catalog(project: Project, data: bytes | None) -> None:
    catalog = project.directory / "lake/catalog.sqlite"
    content = catalog.read_bytes()
    catalog.write_bytes(content[: len(content) // 2] if data is None else data)
    for read_only in (True, False):
        with (
            pytest.raises(DamagedError, match=r"the catalog is damaged: .*catalog.sqlite.*restore it from a backup"),
            Lake.open(project, read_only=read_only),
        ):
            pass


@pytest.mark.parametrize("missing", [True, False])
def test_a_lost_catalog_is_not_replaced_by_an_empty_one(project: Project, missing: bool) -> None:
    catalog = project.directory / "lake/catalog.sqlite"
    catalog.unlink() if missing else catalog.write_bytes(b"")
    with pytest.raises(DamagedError, match=r"the catalog is (missing|empty), but the lake holds data"):
        Lake.create(project)
    with pytest.raises(DamagedError, match="restore it from a backup"), Lake.open(project):
        pass
    assert not catalog.exists() or catalog.stat().st_size == 0


def test_a_temporary_error_is_not_damage(project: Project) -> None:
    with pytest.raises(duckdb.Error), Lake.open(project, read_only=True):
        raise duckdb.Error("database is locked")
    with pytest.raises(LogError, match="no lake yet"), Lake.open(Project(project.directory / "none", parse(""))):
        pass
