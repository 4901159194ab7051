"""Records read straight from the files of a lake are those that DuckDB reads; where they cannot be, DuckDB reads them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import lake_fixture
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from random_logs import MICRO, any_log, service
from reference_model.log import Close, Log, Record

from trueup.config import Project
from trueup.errors import DamagedError
from trueup.log.lake import BucketRange, Lake, TablePart
from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.log_io.column_scan import arrivals, scan_columns
from trueup.reconcile.log_io.load import as_events, columns_of, noted_sql

ALL_BUCKETS = BucketRange(0, lake_fixture.BUCKETS - 1)
POLICY = Policy(0, {"voice": service(("session_key",), grace=10)}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})


def record(charge: bool, key: str, second: int) -> Record:
    return Record(
        charge, "b" if charge else "n", f"{charge} {key}", key, subscriber=key, scope=key, started_us=second * MICRO,
        quantity_micros=MICRO, amount_micros=MICRO if charge else 0,
    )  # fmt: skip


LOG: Log = [
    [POLICY],
    [record(False, key, n) for n, key in enumerate("abcde")],
    [record(True, key, n) for n, key in enumerate("abcd")],
    [Close("n", 100 * MICRO)],
    [record(False, "f", 5), record(True, "f", 5)],
]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    log, rows = lake_fixture.with_event_ids_of_lake(LOG, "subscriber")
    with lake_fixture.lake_of(tmp_path, log, rows, "subscriber") as lake:
        yield lake


def scanned(lake: Lake, after: int = 0, buckets: BucketRange = ALL_BUCKETS) -> pl.DataFrame | None:
    return scan_columns(lake, buckets, after=after, upto=lake.last_position(), fewest_records=0)


def by_duckdb(lake: Lake, after: int, upto: int, buckets: BucketRange = ALL_BUCKETS) -> pl.DataFrame:
    part, noted = TablePart(buckets), noted_sql(lake)
    return as_events(
        {
            s: lake.read(s, columns=columns_of(lake, s, upto), noted=noted, after=after, upto=upto, part=part)
            for s in ("usage", "charge")
        },
        lake,
    )


def assert_same_records(lake: Lake, after: int, upto: int, buckets: BucketRange = ALL_BUCKETS) -> None:
    actual = scan_columns(lake, buckets, after=after, upto=upto, fewest_records=0)
    assert actual is not None
    assert_frame_equal(actual, by_duckdb(lake, after, upto, buckets), check_row_order=False)


def merge(lake: Lake) -> None:
    lake.connection.execute("CALL ducklake_merge_adjacent_files('lake')").fetchall()


def check_random_log(seed: str, folder: Path) -> None:
    rng = random.Random(seed)
    generator, log = any_log(rng)
    log, rows = lake_fixture.with_event_ids_of_lake(
        [[generator.first], *lake_fixture.one_declaration_per_commit(log)], generator.bucket_by
    )
    with lake_fixture.lake_of(folder, log, rows, generator.bucket_by) as lake:
        for is_merged in (False, True):
            if is_merged:
                merge(lake)
            assert_same_records(lake, 0, len(log))
            for _ in range(3):
                after, upto = sorted(rng.sample(range(len(log) + 1), 2))
                low, high = sorted(rng.choices(range(lake_fixture.BUCKETS), k=2))
                assert_same_records(lake, after, upto, BucketRange(low, high))


def test_a_random_log_read_from_its_files_is_the_same_before_and_after_a_merge(tmp_path: Path) -> None:
    check_random_log("scan", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_forty_random_logs_read_from_their_files_are_the_same(part: int, tmp_path: Path) -> None:
    for n in range(10):
        check_random_log(f"scans/{part}/{n}", tmp_path / str(n))


def test_columns_that_an_older_file_lacks_are_empty(lake: Lake) -> None:
    for file in files_of(lake):
        pl.read_parquet(file).drop("record_version", "attributes").write_parquet(file)
    rows = scanned(lake)
    assert rows is not None and rows.height == 11 and rows["record_version"].null_count() == 11


def test_attributes_that_a_price_depends_on_are_read(lake: Lake) -> None:
    rating = lake.project.config.rating.model_copy(update={"zone": "area", "trunk": "a b"})
    lake.project = Project(lake.project.directory, lake.project.config.model_copy(update={"rating": rating}))
    rows = pl.DataFrame(
        {
            "record_key": ["x", "y", "z"], "bucket": [1, 2, 3], "source_id": ["n@1", "m@2", "n@1"],
            "attributes": ['{"area":"EU"}', None, '{"area":7,"a b":{"c":[1]}}'],
        }, schema_overrides={"bucket": pl.Int16},
    )  # fmt: skip
    lake.commit(lambda transaction: (transaction.append("usage", rows), transaction.next_position("unit")))
    assert_same_records(lake, 0, lake.last_position())
    found = scanned(lake, len(LOG))
    assert found is not None and found.sort("record_key")["zone"].to_list() == ["EU", None, "7"]
    assert found.sort("record_key")["source"].to_list() == ["n", "m", "n"]


def test_a_commit_without_a_position_is_not_read(lake: Lake) -> None:
    rows = pl.DataFrame({"record_key": ["x"], "bucket": [1]}, schema_overrides={"bucket": pl.Int16})
    lake.commit(lambda transaction: transaction.append("usage", rows))
    lake.commit(lambda transaction: transaction.declare("close", source="n"))
    assert_same_records(lake, 0, lake.last_position())


def files_of(lake: Lake) -> list[Path]:
    return sorted((lake.project.directory / "lake/data/events").glob("usage/**/*.parquet"))


def delete_a_row(lake: Lake) -> None:
    lake.connection.execute("DELETE FROM lake.events.usage WHERE subscriber = 'a'")


def make_the_catalog_one_of_a_later_version(lake: Lake) -> None:
    lake.connection.execute("UPDATE __ducklake_metadata_lake.ducklake_metadata SET value = '9.0' WHERE key = 'version'")


def put_rows_into_the_catalog(lake: Lake) -> None:
    lake.connection.execute("CALL lake.set_option('data_inlining_row_limit', 10)")
    lake.connection.execute("INSERT INTO lake.events.usage (record_key, bucket) VALUES ('inlined', 3)")


NOT_BY_FILES: list[Callable[[Lake], None]] = [delete_a_row, make_the_catalog_one_of_a_later_version, put_rows_into_the_catalog]


@pytest.mark.parametrize("change", NOT_BY_FILES, ids=lambda change: change.__name__)
def test_rows_that_files_alone_do_not_tell_are_read_by_duckdb(change: Callable[[Lake], None], lake: Lake) -> None:
    change(lake)
    assert scanned(lake) is None
    upto = lake.last_position()
    assert_frame_equal(arrivals(lake, ALL_BUCKETS, after=0, upto=upto), by_duckdb(lake, 0, upto), check_row_order=False)


def test_many_small_files_are_read_by_duckdb(lake: Lake) -> None:
    assert scan_columns(lake, ALL_BUCKETS, after=0, upto=lake.last_position()) is None
    assert scan_columns(lake, ALL_BUCKETS, after=0, upto=lake.last_position(), fewest_records=2) is not None


def test_files_that_a_merge_replaces_in_the_middle_of_a_read_are_read_from_the_merged_one(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, collect = by_duckdb(lake, 0, lake.last_position()), pl.collect_all

    def replace_files(frames: list[pl.LazyFrame]) -> list[pl.DataFrame]:
        merge(lake)
        lake.connection.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)").fetchall()
        return collect(frames)

    monkeypatch.setattr("trueup.reconcile.log_io.column_scan.FEWEST_RECORDS_PER_FILE", 0)
    monkeypatch.setattr(pl, "collect_all", replace_files)
    assert scanned(lake) is None
    assert_frame_equal(arrivals(lake, ALL_BUCKETS, after=0, upto=lake.last_position()), expected, check_row_order=False)


@pytest.mark.parametrize("damage", ["missing", "truncated", "overwritten"])
def test_a_damaged_file_is_named(damage: str, lake: Lake) -> None:
    file = files_of(lake)[0]
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(data[: len(data) // 2] if damage == "truncated" else data[:-300] + b"\xff" * 292 + data[-8:])
    project = lake.project
    assert scanned(lake) is None
    with pytest.raises(DamagedError, match=file.name), Lake.open(project, read_only=True, private=True) as reader:
        arrivals(reader, ALL_BUCKETS, after=0, upto=reader.last_position())
