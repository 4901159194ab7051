"""The event log: positions, one writer, reading of ranges of positions."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from trueup.config import Project, parse
from trueup.errors import LogBusyError, LogError
from trueup.log.catalog.catalogs import SqliteCatalog
from trueup.log.lake import BucketRange, Lake, TablePart, Transaction

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def clock() -> datetime:
    return NOON


def usage(*names: str, bucket: int = 0) -> pl.DataFrame:
    return pl.DataFrame({"record_key": list(names), "bucket": [bucket] * len(names), "day": [NOON.date()] * len(names)})


def commit_usage(lake: Lake, frame: pl.DataFrame) -> int:
    def write(transaction: Transaction) -> int:
        transaction.append("usage", frame, order_by="bucket")
        return transaction.next_position("unit")

    return lake.commit(write)


def keys(lake: Lake, **filters: object) -> list[str]:
    return sorted(lake.read("usage", columns=["record_key"], **filters)["record_key"].to_list())  # type: ignore[arg-type]


def test_each_input_commit_gets_the_next_position_by_which_its_rows_are_read(project: Project) -> None:
    Lake.create(project)
    with Lake.open(project, clock=clock) as lake:
        assert [commit_usage(lake, usage("a")), commit_usage(lake, usage("b", "c")), commit_usage(lake, usage("d"))] == [1, 2, 3]
        assert keys(lake) == ["a", "b", "c", "d"]
        assert keys(lake, after=1) == ["b", "c", "d"]
        assert keys(lake, after=1, upto=2) == ["b", "c"]
        assert keys(lake, upto=0) == []
        assert lake.read("usage", columns=["record_key"]).sort("record_key")["position"].to_list() == [1, 2, 2, 3]


def test_rows_are_read_by_bucket_and_day_and_rows_without_a_day_are_always_read(project: Project) -> None:
    Lake.create(project)
    with Lake.open(project, clock=clock) as lake:
        commit_usage(lake, usage("a", bucket=3))
        commit_usage(lake, usage("b", bucket=7).with_columns(day=pl.lit(None, pl.Date)))
        assert keys(lake, part=TablePart(BucketRange(0, 5))) == ["a"]
        assert keys(lake, part=TablePart(days=(datetime(2024, 5, 2).date(), None))) == ["b"]
        assert keys(lake, part=TablePart(days=(NOON.date(), NOON.date()))) == ["a", "b"]


def test_a_failing_commit_leaves_no_rows(project: Project) -> None:
    Lake.create(project)

    def write(transaction: Transaction) -> None:
        transaction.append("usage", usage("lost"))
        transaction.next_position("unit")
        raise KeyboardInterrupt

    with Lake.open(project, clock=clock) as lake:
        with pytest.raises(KeyboardInterrupt):
            lake.commit(write)
        assert keys(lake) == [] and lake.last_position() == 0
        assert commit_usage(lake, usage("next")) == 1


def test_a_refused_commit_raises_an_error_of_one_line(project: Project) -> None:
    Lake.create(project)
    with Lake.open(project, clock=clock) as lake, pytest.raises(LogError, match="refused a commit") as raised:
        lake.commit(lambda transaction: transaction.append("usage", pl.DataFrame({"no_such_column": [1]})))
    assert "\n" not in str(raised.value)


def _commit_many(directory: Path, text: str, name: str) -> None:
    with Lake.open(Project(directory, parse(text)), clock=clock) as lake:
        for n in range(12):
            commit_usage(lake, usage(f"{name}{n}"))


def test_two_concurrent_writers_lose_no_row_and_number_every_commit_once(project: Project, tmp_path: Path) -> None:
    Lake.create(project)
    text = f'[lake]\ncatalog = "{project.config.lake.catalog.get_secret_value()}"\n'
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_commit_many, args=(tmp_path, text, name)) for name in "xy"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    with Lake.open(project, clock=clock) as lake:
        assert len(keys(lake)) == 24
        assert sorted(lake.read("usage", columns=["record_key"])["position"].to_list()) == list(range(1, 25))


def test_a_waiting_reader_sees_later_commits(project: Project) -> None:
    Lake.create(project)
    with Lake.open(project, clock=clock) as writer, Lake.open(project, read_only=True) as waiting:
        assert (waiting.last_position_since(0), waiting.consumer_position("x")) == (0, 0)
        commit_usage(writer, usage("a"))
        assert (waiting.last_position_since(0), waiting.consumer_position("x")) == (1, 0)
        writer.commit(lambda transaction: transaction.set_consumer_position("x", 1))
        assert (waiting.last_position_since(1), waiting.consumer_position("x"), waiting.consumer_position("y")) == (1, 1, 0)


def test_a_long_running_follower_reconnects_and_misses_no_row(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueup.log.session.RECONNECT_AFTER_SNAPSHOTS", 3)
    Lake.create(project)
    connections = []
    with Lake.open(project, clock=clock) as writer, Lake.open(project, read_only=True) as follower, writer.reconciler_lock():
        for position in range(1, 11):
            for lake in (writer, follower):
                lake.reconnect_when_due()
            connections.append(follower.connection)
            assert commit_usage(writer, usage(f"k{position}")) == position
            assert follower.last_position_since(position - 1) == position
            assert keys(follower, after=position - 1, upto=position) == [f"k{position}"]
        assert keys(follower) == keys(writer) == sorted(f"k{n}" for n in range(1, 11))
        with pytest.raises(LogBusyError), Lake.open(project) as other, other.reconciler_lock():
            pass
    assert connections[0] is not connections[-1]


def test_a_writer_that_reacquires_the_lock_at_once_starves_no_other(tmp_path: Path) -> None:
    catalog, stop, turns = SqliteCatalog(tmp_path / "catalog"), threading.Event(), []

    def busy() -> None:
        while not stop.is_set():
            with catalog.lock("writer"):
                turns.append(1)
                stop.wait(0.1)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(10):
            # Let the other thread take its turn first: otherwise this thread reacquires the lock at once.
            before = len(turns)
            while len(turns) == before:
                stop.wait(0.01)
            before = len(turns)
            with catalog.lock("writer"):
                assert len(turns) <= before + 5
    finally:
        stop.set()
        thread.join()


def test_a_commit_is_retried_from_its_start_when_the_catalog_is_locked(tmp_path: Path) -> None:
    project = Project(tmp_path, parse(""))
    Lake.create(project)
    tries = []

    def write(transaction: Transaction) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise duckdb.TransactionException("database is locked")
        transaction.append("usage", usage("once"))

    with Lake.open(project, clock=clock) as lake:
        lake.commit(write)
        assert len(tries) == 3 and keys(lake, upto=None) == []
        commit_usage(lake, usage("next"))
        assert lake.connection.execute("SELECT count(*) FROM lake.events.usage").fetchone() == (2,)


def test_a_second_reconciler_is_refused_while_another_holds_the_lake(project: Project) -> None:
    Lake.create(project)
    with (
        Lake.open(project) as first, Lake.open(project) as second,
        first.reconciler_lock(), pytest.raises(LogBusyError, match="another reconciler"), second.reconciler_lock(wait_s=0.1),
    ):  # fmt: skip
        pass


def test_a_lake_refuses_settings_other_than_those_of_its_creation(project: Project) -> None:
    Lake.create(project)
    other = Project(
        project.directory, project.config.model_copy(update={"lake": project.config.lake.model_copy(update={"buckets": 8})})
    )
    with pytest.raises(LogError, match=r"created with buckets = 64, but trueup\.toml has 8"), Lake.open(other):
        pass


def test_opening_a_missing_lake_raises_an_error_with_advice(project: Project) -> None:
    with pytest.raises(LogError, match="there is no lake yet"), Lake.open(project):
        pass


def test_the_catalog_is_in_wal_mode_so_that_readers_are_not_locked_out(tmp_path: Path) -> None:
    project = Project(tmp_path, parse(""))
    Lake.create(project)
    with Lake.open(project) as lake:
        commit_usage(lake, usage("a"))
        with sqlite3.connect(tmp_path / "lake" / "catalog.sqlite") as catalog:
            assert catalog.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        catalog.close()


def test_a_lake_can_be_moved_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    project = Project(tmp_path / "old", parse(""))
    Lake.create(project)
    with Lake.open(project) as lake:
        commit_usage(lake, usage("a"))
    (tmp_path / "old").rename(tmp_path / "new")
    with Lake.open(Project(tmp_path / "new", parse(""))) as lake:
        assert keys(lake) == ["a"]


def test_positions_are_found_by_time_and_each_declaration_is_a_commit(project: Project) -> None:
    Lake.create(project)
    with Lake.open(project, clock=clock) as lake:
        assert lake.commit(lambda transaction: transaction.declare("close", source="b", through=NOON)) == 1
        assert lake.position_at(NOON) == 1 and lake.position_at(datetime(2024, 5, 1, tzinfo=UTC)) == 0
        row = lake.read("declaration", columns=["kind", "source", "through"]).row(0)
        assert row == ("close", "b", NOON, 1)


def test_merging_files_changes_no_result_of_any_range_of_positions(project: Project) -> None:
    Lake.create(project)
    with Lake.open(project, clock=clock) as lake:
        for name in "abcdefgh":
            commit_usage(lake, usage(name))
        before = [(keys(lake, after=p), keys(lake, upto=p)) for p in range(9)]
        lake.connection.execute("CALL ducklake_merge_adjacent_files('lake')")
        assert [(keys(lake, after=p), keys(lake, upto=p)) for p in range(9)] == before


def test_ranges_read_the_same_rows_before_and_after_snapshots_expire(project: Project) -> None:
    Lake.create(project)
    ranges = [(after, upto) for after in range(9) for upto in range(after, 9)]
    with Lake.open(project, clock=clock) as lake:
        for name in "abcdefgh":
            commit_usage(lake, usage(name))
            lake.commit(lambda transaction: transaction.set_consumer_position("consumer", 1))
        expected = {(after, upto): list("abcdefgh"[after:upto]) for after, upto in ranges}
        assert lake.oldest_snapshot <= lake.snapshot_of(1)
        assert {r: keys(lake, after=r[0], upto=r[1]) for r in ranges} == expected
        lake.connection.execute("CALL ducklake_merge_adjacent_files('lake')")
        assert {r: keys(lake, after=r[0], upto=r[1]) for r in ranges} == expected
        versions = list(range(lake.snapshot_of(5)))
        lake.connection.execute("CALL ducklake_expire_snapshots('lake', versions => ?)", [versions])
    with Lake.open(project, clock=clock) as lake:
        assert lake.oldest_snapshot == lake.snapshot_of(5)
        assert {r: keys(lake, after=r[0], upto=r[1]) for r in ranges} == expected
