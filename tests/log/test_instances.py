"""DuckDB instances: connections to one lake share one; other lakes and private connections have their own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import pytest

from trueup.config import Project, parse
from trueup.errors import LogError
from trueup.log.catalog import instances
from trueup.log.catalog.connection import connect
from trueup.log.lake import Lake, Transaction


def create_lake(folder: Path) -> Project:
    project = Project(folder, parse(""))
    Lake.create(project)
    return project


def commit_consumer(lake: Lake, consumer: str, position: int = 1) -> None:
    def write(transaction: Transaction) -> None:
        transaction.set_consumer_position(consumer, position)

    lake.commit(write)


def setting(lake: Lake, name: str) -> object:
    row = lake.connection.execute("SELECT current_setting(?)", [name]).fetchone()
    assert row is not None
    return row[0]


def tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'memory' AND NOT temporary"
    return {name for (name,) in connection.execute(query).fetchall()}


def test_connections_to_one_lake_share_an_instance_with_separate_transactions(tmp_path: Path) -> None:
    project = create_lake(tmp_path)
    with Lake.open(project) as writer, Lake.open(project) as other:
        writer.connection.execute("CREATE TABLE memory.main.shared (n INTEGER)")
        assert tables(other.connection) == {"shared"}
        writer.connection.execute("BEGIN")
        writer.connection.execute("INSERT INTO lake.events.consumer (consumer, position) VALUES ('x', 7)")
        assert (writer.consumer_position("x"), other.consumer_position("x")) == (7, 0)
        writer.connection.execute("COMMIT")
        assert other.consumer_position("x") == 7
        assert setting(other, "TimeZone") == "UTC"
        writer.connection.execute("DROP TABLE memory.main.shared")


def test_two_open_lakes_see_nothing_of_each_other(tmp_path: Path) -> None:
    instance, two = create_lake(tmp_path / "one"), create_lake(tmp_path / "two")
    with Lake.open(instance) as first, Lake.open(two) as second:
        commit_consumer(first, "only in one")
        first.connection.execute("CREATE TABLE memory.main.of_one (n INTEGER)")
        assert second.consumer_position("only in one") == 0
        assert tables(second.connection) == set()
        first.connection.execute("DROP TABLE memory.main.of_one")
    with Lake.open(two, read_only=True) as second:
        assert second.consumer_position("only in one") == 0


def test_a_lake_replaced_on_disk_is_read_again(tmp_path: Path) -> None:
    project, other = create_lake(tmp_path / "one"), create_lake(tmp_path / "two")
    with Lake.open(project) as lake:
        commit_consumer(lake, "before")
    with Lake.open(other) as lake:
        commit_consumer(lake, "after")
    shutil.rmtree(tmp_path / "one/lake")
    shutil.copytree(tmp_path / "two/lake", tmp_path / "one/lake")
    with Lake.open(project, read_only=True) as lake:
        assert (lake.consumer_position("before"), lake.consumer_position("after")) == (0, 1)


def test_the_settings_of_a_lake_replaced_on_disk_are_read_again(tmp_path: Path) -> None:
    project, other = create_lake(tmp_path / "one"), Project(tmp_path / "two", parse("[lake]\nbuckets = 8\n"))
    Lake.create(other)
    with Lake.open(project), Lake.open(project):
        pass
    shutil.rmtree(tmp_path / "one/lake")
    shutil.copytree(tmp_path / "two/lake", tmp_path / "one/lake")
    with pytest.raises(LogError, match="buckets = 8"), Lake.open(project):
        pass


def test_a_read_only_connection_cannot_write(tmp_path: Path) -> None:
    project = create_lake(tmp_path)
    with Lake.open(project, read_only=True) as lake, pytest.raises(duckdb.Error, match="read-only"):
        lake.connection.execute("INSERT INTO lake.events.consumer (consumer, position) VALUES ('x', 1)")


def test_settings_of_a_private_instance_affect_no_other_connection(tmp_path: Path) -> None:
    project = create_lake(tmp_path)
    with Lake.open(project, read_only=True, private=True) as locked:
        locked.connection.execute("SET enable_external_access = false")
        locked.connection.execute("SET lock_configuration = true")
        with Lake.open(project, read_only=True) as free:
            assert setting(free, "enable_external_access") is True
            free.connection.execute("SET threads = 2")
    with Lake.open(project, read_only=True) as free:
        assert setting(free, "lock_configuration") is False


def test_a_small_lake_is_read_by_one_thread_and_a_larger_one_by_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = create_lake(tmp_path)
    with Lake.open(project, read_only=True) as lake:
        assert setting(lake, "threads") == 1
    monkeypatch.setattr(instances, "SMALL_LAKE_BYTES", 0)
    with Lake.open(project, read_only=True) as lake, connect() as unlimited:
        assert (setting(lake, "threads"),) == unlimited.execute("SELECT current_setting('threads')").fetchone()


def test_queries_of_a_tiny_lake_are_planned_without_statistics_and_those_of_a_larger_one_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = create_lake(tmp_path)
    with Lake.open(project, read_only=True) as lake:
        assert setting(lake, "disabled_optimizers") == "join_order,statistics_propagation,late_materialization"
    monkeypatch.setattr(instances, "TINY_LAKE_BYTES", 0)
    with Lake.open(project, read_only=True) as lake:
        assert setting(lake, "disabled_optimizers") == ""


def test_an_instance_uses_the_smallest_requested_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "SMALL_LAKE_BYTES", 0)
    project = create_lake(tmp_path)
    with Lake.open(project) as lake:
        every = setting(lake, "threads")
        with Lake.open(project, threads=1) as instance:
            assert (setting(lake, "threads"), setting(instance, "threads")) == (1, 1)
        assert setting(lake, "threads") == every


def test_a_failed_instance_serves_no_further_connection(tmp_path: Path) -> None:
    project = create_lake(tmp_path)
    with Lake.open(project) as lake:
        commit_consumer(lake, "x")
        instance, _ = instances._pool.open[id(lake.connection)]
        instance.root.close()
        with Lake.open(project) as other:
            assert other.consumer_position("x") == 1


def test_the_number_of_idle_instances_is_bounded(tmp_path: Path) -> None:
    projects = [create_lake(tmp_path / str(number)) for number in range(4)]
    opened = [Lake.open(project) for project in projects]
    for lake in opened:
        lake.__enter__()
    for lake in opened:
        lake.__exit__(None, None, None)
    idle = [instance for instance in instances._pool.instances if not instance.users]
    assert len(idle) <= instances.MAX_IDLE
    assert all(instance.attached is None for instance in idle)


def test_a_forked_process_uses_none_of_its_parents_instances(tmp_path: Path) -> None:
    project = create_lake(tmp_path)
    with Lake.open(project) as lake:
        commit_consumer(lake, "parent")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with Lake.open(project) as own:
                    commit_consumer(own, "child")
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (lake.consumer_position("parent"), lake.consumer_position("child")) == (1, 1)


def test_a_connection_checks_the_signature_of_every_extension_except_those_of_the_lake(tmp_path: Path) -> None:
    unsigned = tmp_path / "other.duckdb_extension"
    unsigned.write_bytes(b"\0" * 1024)
    connection = connect(extensions=("sqlite_scanner", "ducklake"))
    loaded = connection.execute("SELECT extension_name FROM duckdb_extensions() WHERE loaded").fetchall()
    assert {("ducklake",), ("sqlite_scanner",)} <= set(loaded)
    assert connection.execute("SELECT current_setting('allow_unsigned_extensions')").fetchall() == [(False,)]
    with pytest.raises(duckdb.Error):
        connection.execute("SET allow_unsigned_extensions = true")
    with pytest.raises(duckdb.Error, match=r"metadata|signature"):
        connection.execute(f"LOAD '{unsigned}'")
