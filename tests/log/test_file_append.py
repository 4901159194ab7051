"""Rows that are appended as files are read, merged and removed like rows that DuckDB inserts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from trueup.config import Project, parse
from trueup.errors import LogError
from trueup.events.schema import CORRECTED, EVENT
from trueup.log import file_append
from trueup.log.lake import BucketRange, Lake, Transaction
from trueup.reconcile.log_io.column_scan import scan_columns
from trueup.warehouse.maintain import maintain

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
CATALOG = "__ducklake_metadata_lake"
CHARGE = EVENT["charge"] | CORRECTED


@pytest.fixture(autouse=True)
def few_rows_are_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_append, "FEWEST_ROWS_PER_FILE", 1)


@pytest.fixture
def local(tmp_path: Path) -> Project:
    """Return a project with an empty lake in a folder, with a SQLite catalog."""
    project = Project(tmp_path, parse(""))
    Lake.create(project)
    return project


@pytest.fixture
def inserts(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a function that has every row inserted by DuckDB, or none."""
    return lambda every: monkeypatch.setattr(file_append, "FEWEST_ROWS_PER_FILE", 10**9 if every else 1)


@pytest.fixture
def lakes(project: Project, tmp_path: Path) -> list[Project]:
    """Return two empty lakes."""
    other = Project(tmp_path / "other", parse(""))
    for each in (project, other):
        Lake.create(each)
    return [project, other]


def charges(name: str) -> pl.DataFrame:
    """Return four charges, one of them without a time, with values of every type."""
    rows = pl.DataFrame(
        {
            "event_id": [f"{name} {n:13}".encode() for n in range(4)], "canonical_version": [1, 1, 1, 2],
            "source_id": [f"b@{name}"] * 4, "source_row": [0, 1, 2, 3], "source_offset": [0, 30, 60, 90],
            "bucket": [0, 1, 1, 3], "day": [NOON.date(), NOON.date(), None, date(2024, 5, 2)], "key_scope": ["b"] * 4,
            "record_key": [f"{name}'{n} Ü" for n in range(4)], "subscriber": ["4915", None, "", "4916"],
            "started_at": [NOON, NOON + timedelta(microseconds=5), None, datetime(2024, 5, 2, tzinfo=UTC)],
            "amount_micros": [-1, 0, None, 2**63 - 1], "currency": ["EUR"] * 4, "corrects": [None, None, "a", None],
            "corrected_key": [None, None, "a", None], "corrected_charge": [None, None, True, False],
            "attributes": ['{"apn":"inter\\"net"}', None, "{}", '{"a":"1"}'],
        }
    )  # fmt: skip
    absent = {name: pl.lit(None, dtype) for name, dtype in CHARGE.items() if name not in rows.columns}
    return rows.with_columns(**absent).select(pl.col(name).cast(dtype) for name, dtype in CHARGE.items())


def commit(lake: Lake, *frames: pl.DataFrame) -> int:
    """Commit charges as one position."""

    def write(transaction: Transaction) -> int:
        for frame in frames:
            transaction.append("charge", frame)
        return transaction.next_position("unit")

    return lake.commit(write)


def open_lake(project: Project) -> AbstractContextManager[Lake]:
    return Lake.open(project, clock=lambda: NOON)


def files(project: Project) -> list[Path]:
    return sorted((project.directory / "lake/data/events/charge").rglob("*.parquet"))


def registered(lake: Lake) -> int:
    """Return how many files of charges the lake has registered."""
    query = f"SELECT count(*) FROM {CATALOG}.ducklake_data_file WHERE mapping_id IS NOT NULL AND end_snapshot IS NULL"
    return int(lake.connection.execute(query).fetchall()[0][0])


def statistics(lake: Lake) -> pl.DataFrame:
    """Return the catalog's statistics of the columns of each file of charges, except their sizes."""
    return lake.connection.execute(
        "SELECT split_part(f.path, '/', 1) AS folder, f.path_is_relative::BOOLEAN AS is_relative, f.record_count, p.partition_value, c.column_name, "
        "s.value_count, s.null_count, s.min_value, s.max_value "
        f"FROM {CATALOG}.ducklake_data_file f JOIN {CATALOG}.ducklake_table t ON t.table_id = f.table_id "
        f"JOIN {CATALOG}.ducklake_file_column_stats s ON s.data_file_id = f.data_file_id "
        f"JOIN {CATALOG}.ducklake_column c ON c.table_id = f.table_id AND c.column_id = s.column_id "
        f"LEFT JOIN {CATALOG}.ducklake_file_partition_value p ON p.data_file_id = f.data_file_id "
        "WHERE t.table_name = 'charge' ORDER BY ALL"
    ).pl()


def test_rows_written_as_files_are_those_of_an_insert_and_so_are_their_folders_and_statistics(
    lakes: list[Project], inserts: Callable[[bool], None]
) -> None:
    read, known = [], []
    for project, every in zip(lakes, (False, True), strict=True):
        inserts(every)
        with open_lake(project) as lake:
            commit(lake, charges("first"))
            commit(lake, charges("second").drop("corrects", "corrected_key", "corrected_charge"))
            assert registered(lake) == (0 if every else 6)
            read.append(lake.read("charge").sort("event_id"))
            known.append(statistics(lake))
    assert_frame_equal(*read)
    assert read[0]["attributes"].to_list()[:4] == ['{"apn":"inter\\"net"}', None, "{}", '{"a":"1"}']
    uncompared = pl.col("column_name").is_in(["event_id", "corrected_charge", "attributes"])
    assert_frame_equal(*(frame.filter(~uncompared) for frame in known))
    assert known[0].filter(uncompared)["min_value"].null_count() == 18


def test_rows_of_a_file_and_of_an_insert_are_found_by_the_columns_of_which_a_file_has_no_statistics(
    lakes: list[Project], inserts: Callable[[bool], None]
) -> None:
    for project, order in zip(lakes, ((False, True), (True, False)), strict=True):
        with open_lake(project) as lake:
            for name, every in zip("ab", order, strict=True):
                inserts(every)
                commit(lake, charges(name).with_columns(corrected_charge=pl.lit(name == "a")))
            assert registered(lake) == 3
            for name in "ab":
                for value in charges(name)["event_id"]:
                    query = "SELECT count(*) FROM lake.events.charge WHERE event_id = ?"
                    assert lake.connection.execute(query, [value]).fetchall() == [(1,)]
                query = "SELECT count(*) FROM lake.events.charge WHERE corrected_charge = ?"
                assert lake.connection.execute(query, [name == "a"]).fetchall() == [(4,)]
            (least, greatest) = lake.connection.execute("SELECT min(event_id), max(event_id) FROM lake.events.charge").fetchall()[0]
            assert (least, greatest) == (charges("a")["event_id"][0], charges("b")["event_id"][3])


def test_each_file_has_its_rows_in_the_order_of_their_buckets(local: Project) -> None:
    with open_lake(local) as lake:
        commit(lake, charges("a").reverse().with_columns(day=NOON.date()))
    (file,) = files(local)
    assert pl.read_parquet(file, hive_partitioning=False)["bucket"].to_list() == [0, 1, 1, 3]


def test_a_range_of_positions_has_the_rows_of_its_commits_before_and_after_files_are_merged(project: Project) -> None:
    Lake.create(project)
    ranges = [(after, upto) for after in range(4) for upto in range(after, 4)]
    with open_lake(project) as lake:
        for name in "abc":
            commit(lake, charges(name))

        def read() -> list[list[str]]:
            return [sorted(lake.read("charge", after=a, upto=u)["source_id"].to_list()) for a, u in ranges]

        expected = [sorted(f"b@{name}" for name in "abc"[after:upto] for _ in range(4)) for after, upto in ranges]
        assert read() == expected
        before = set(files(project))
        maintain(project, keep=timedelta(days=-1), clock=lambda: datetime.now(UTC))
        assert read() == expected
        assert len(before) == 9 and len(files(project)) == 3 and not before & set(files(project))


def test_columns_are_read_straight_from_files_that_the_lake_took_over(local: Project) -> None:
    with open_lake(local) as lake:
        commit(lake, charges("a").filter(pl.col("day").is_not_null()))
        every = BucketRange(0, local.config.lake.buckets - 1)
        scanned = scan_columns(lake, every, after=0, upto=1, fewest_records=0)
    assert scanned is not None and scanned["event_id"].sort().to_list() == charges("a")["event_id"].gather([0, 1, 3]).to_list()


def test_rows_written_before_a_column_was_added_have_none_of_its_values(local: Project) -> None:
    with open_lake(local) as lake:
        commit(lake, charges("a"))
        lake.commit(lambda transaction: transaction.connection.execute("ALTER TABLE lake.events.charge ADD COLUMN later VARCHAR"))
        commit(lake, charges("b"))
        for _ in ("as written", "merged"):
            query = "SELECT count(*), count(later) FROM lake.events.charge WHERE later IS NULL"
            assert lake.connection.execute(query).fetchall() == [(8, 0)]
            maintain(local, clock=lambda: NOON)


def test_a_commit_that_fails_leaves_no_file(project: Project) -> None:
    Lake.create(project)

    def write(transaction: Transaction) -> None:
        transaction.append("charge", charges("a"))
        assert len(files(project)) == 3
        transaction.connection.execute("SELECT no_such_column FROM lake.events.charge")

    with open_lake(project) as lake:
        with pytest.raises(LogError, match="refused a commit"):
            lake.commit(write)
        assert files(project) == [] and lake.count("charge") == 0
        commit(lake, charges("a"))
        assert lake.count("charge") == 4


def test_files_of_a_commit_stay_where_the_catalog_has_them(local: Project) -> None:
    with open_lake(local) as lake:
        commit(lake, charges("a"))
        file_append.remove_unregistered(lake.connection, [*files(local), local.directory / "removed.parquet"])
        assert len(files(local)) == 3 and lake.read("charge").height == 4


def test_a_file_that_no_commit_took_over_is_read_by_nothing(local: Project) -> None:
    with open_lake(local) as lake:
        commit(lake, charges("a"))
        first = files(local)[0]
        first.with_name("left.parquet").write_bytes(first.read_bytes())
        assert lake.read("charge").height == 4
        maintain(local, clock=lambda: NOON)
        assert lake.read("charge").height == 4


@pytest.mark.parametrize("folder", ["service=voice", "[a]", "a*"])
def test_rows_are_inserted_where_the_path_of_the_lake_is_a_pattern_or_names_a_value(tmp_path: Path, folder: str) -> None:
    project = Project(tmp_path / folder, parse(""))
    Lake.create(project)
    with open_lake(project) as lake:
        commit(lake, charges("a"))
        assert registered(lake) == 0 and lake.read("charge")["service"].null_count() == 4


@pytest.mark.parametrize(
    "change",
    ["CALL lake.set_option('parquet_compression', 'zstd')", "ALTER TABLE lake.events.charge SET PARTITIONED BY (day, currency)",
     "ALTER TABLE lake.events.charge SET PARTITIONED BY (year(started_at))"],
)  # fmt: skip
def test_rows_are_inserted_where_a_user_has_set_how_files_are_written(local: Project, change: str) -> None:
    with open_lake(local) as lake:
        lake.connection.execute(change)
        commit(lake, charges("a"))
        assert registered(lake) == 0 and lake.read("charge").height == 4


def test_rows_are_inserted_where_a_footer_is_not_as_expected(local: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_append, "_TEXT_FIELD", b"no such field")
    with open_lake(local) as lake:
        commit(lake, charges("a"))
        assert registered(lake) == 0 and lake.read("charge").height == 4


def test_few_rows_of_each_day_are_inserted(local: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_append, "FEWEST_ROWS_PER_FILE", 2)
    with open_lake(local) as lake:
        commit(lake, charges("a"))
        assert registered(lake) == 0
        commit(lake, charges("b").with_columns(day=NOON.date()))
        assert registered(lake) == 1


def test_a_file_is_what_other_readers_of_parquet_expect(local: Project) -> None:
    with open_lake(local) as lake:
        commit(lake, charges("a").with_columns(day=NOON.date()))
    (file,) = files(local)
    types = dict(duckdb.execute("SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet(?))", [str(file)]).fetchall())
    assert types["attributes"] == "JSON" and types["started_at"] == "TIMESTAMP WITH TIME ZONE" and types["bucket"] == "SMALLINT"
