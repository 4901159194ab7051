"""The queries that `trueup sql` permits and refuses, each checked by the parser and by the lock of the connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from trueup.config import Project
from trueup.errors import QueryError
from trueup.warehouse.access import guard
from trueup.warehouse.query import Warehouse, answer, open_warehouse


@pytest.fixture(scope="module")
def locked(_written: Path) -> Iterator[Warehouse]:
    """Yield a warehouse opened as `trueup sql` opens it, and locked."""
    project = Project.load(_written)
    with open_warehouse(project, private=True) as warehouse:
        guard.lock(warehouse.connection, f"{project.directory}/lake/data/", str(_written / "spill"))
        yield warehouse


PERMITTED = [
    "select count(*) from findings",
    "SELECT 1;",
    "-- why\nselect /* not ; this */ 1",
    "from findings select kind limit 1",
    "values (1), (2)",
    "with recursive t as (select 1 as n union all select n + 1 from t where n < 3) select sum(n) from t",
    "select * from range(3) r, unnest([1, 2]) u",
    "select * from (pivot findings on kind in ('unbilled', 'misrated') using count(*) group by service)",
    "select sum(quantity_micros) from lake.events.usage",
    "select * from lake.events.position at (version => 3)",
    "select count(*) from memory.main.findings f join main.finding_records r using (finding_id)",
    "select f.action from steps.finding_change f",
    "select table_name from information_schema.tables",
    "select comment from duckdb_columns() where table_name = 'findings'",
    "describe findings",
    "select ';' as semicolon, 'COPY x TO y' as text",
    "explain select 1",
    "EXPLAIN ANALYZE select count(*) from findings",
    "explain (analyze, format json) select 1",
    "explain (select 1)",
    "/* first */ explain -- then\n select 1",
]

REFUSED = [
    ("copy (select 1) to '{out}'", "COPY"),
    ("copy findings to '{out}' (format parquet)", "COPY"),
    ("copy lake.events.usage from '{file}'", "COPY"),
    ("attach '{out}' as other", "ATTACH"),
    ("detach lake", "DETACH"),
    ("use lake", "refused"),
    ("call ducklake_snapshots('lake')", "CALL"),
    ("call ducklake_expire_snapshots('lake', older_than => now())", "CALL"),
    ("install httpfs", "LOAD"),
    ("load httpfs", "LOAD"),
    ("set threads = 1", "SET"),
    ("set enable_external_access = true", "SET"),
    ("set memory_limit = '64GB'", "SET"),
    ("set global max_memory = '64GB'", "SET"),
    ("reset memory_limit", "SET"),
    ("set max_temp_directory_size = '1TB'", "SET"),
    ("set temp_directory = '/tmp'", "SET"),
    ("set session threads = 64", "SET"),
    ("pragma memory_limit = '64GB'", "SET|refused"),
    ("pragma threads = 64", "SET|refused"),
    ("explain analyze set memory_limit = '64GB'", "refused|not one SELECT|invalid SQL"),
    ("reset lock_configuration", "SET"),
    ("set variable as_of_position = 0", "SET"),
    ("pragma database_list", "refused"),
    ("pragma table_info('findings')", "refused"),
    ("insert into lake.events.usage select * from lake.events.usage", "INSERT"),
    ("update lake.events.usage set bucket = 1", "UPDATE"),
    ("delete from lake.events.usage", "DELETE"),
    ("create table t as select 1", "CREATE"),
    ("create or replace view findings as select 1", "CREATE"),
    ("create temp macro m() as 1", "CREATE"),
    ("drop view findings", "DROP"),
    ("alter table lake.events.usage add column x int", "ALTER"),
    ("truncate lake.events.usage", "refused"),
    ("vacuum", "refused"),
    ("checkpoint lake", "refused"),
    ("begin", "TRANSACTION"),
    ("prepare p as select 1", "PREPARE"),
    ("execute p", "refused"),
    ("export database '{out}'", "refused"),
    ("import database '{out}'", "invalid SQL: "),
    ("select 1; select 2", "2 statements"),
    ("select 1; copy (select 1) to '{out}'", "2 statements"),
    ("", "the query is empty"),
    ("-- nothing", "the query is empty"),
    (";", "the query is empty"),
    ("selec 1", "invalid SQL"),
    ("select 'unfinished", "invalid SQL"),
    ("with x as (insert into t values (1) returning *) select * from x", "refused|invalid SQL|SELECT"),
    ("explain copy (select 1) to '{out}'", "refused|not one SELECT|invalid SQL"),
    ("explain analyze copy (select 1) to '{out}'", "refused"),
    ("explain analyze copy lake.events.usage from '{file}'", "refused"),
    ("explain analyze insert into lake.events.usage select * from lake.events.usage", "refused"),
    ("explain analyze create table t as select 1", "refused"),
    ("explain analyze delete from lake.events.usage", "refused"),
    ("explain (analyze) copy (select 1) to '{out}'", "refused"),
    ("explain analyze from read_text('{file}')", "read_text"),
    ("explain explain select 1", "refused|invalid SQL"),
    ("explain analyze select 1; select 2", "2 statements"),
    ("select * from '{file}'", "file"),
    ("from '{file}'", "file"),
    ('select * from "{file}"', "file"),
    ("describe '{file}'", "file"),
    ("summarize '{file}'", "file"),
    ("select * from 's3://bucket/x.parquet'", "file"),
    ("select * from read_text('{file}')", "read_text"),
    ("select * from read_blob('{file}')", "read_blob"),
    ("select * from read_csv('{file}')", "read_csv"),
    ("select * from read_csv_auto('{file}')", "read_csv_auto"),
    ("select * from read_json('{file}')", "read_json"),
    ("select * from read_ndjson_objects('{file}')", "read_ndjson_objects"),
    ("select * from read_parquet('{data}/events/*/*.parquet')", "read_parquet"),
    ("select * from parquet_metadata('{file}')", "parquet_metadata"),
    ("select * from sniff_csv('{file}')", "sniff_csv"),
    ("select * from read_duckdb('{file}')", "read_duckdb"),
    ("select * from glob('/*')", "glob"),
    ("select * from sqlite_scan('{catalog}', 'ducklake_snapshot')", "sqlite_scan"),
    ("select * from sqlite_scan('{other}', 't')", "sqlite_scan"),
    ("select * from sqlite_query('__ducklake_metadata_lake', 'delete from ducklake_snapshot')", "sqlite_query"),
    ("select * from postgres_scan('host=x', 'public', 't')", "postgres_scan"),
    ("select * from postgres_query('lake', 'select 1')", "postgres_query"),
    ("select * from ducklake_expire_snapshots('lake')", "ducklake_expire_snapshots"),
    ("select * from ducklake_cleanup_old_files('lake', cleanup_all => true)", "ducklake_cleanup_old_files"),
    ("select * from ducklake_merge_adjacent_files('lake')", "ducklake_merge_adjacent_files"),
    ("select * from ducklake_set_option('lake', 'x', 'y')", "ducklake_set_option"),
    ("select * from ducklake_list_files('lake', 'usage')", "ducklake_list_files"),
    ("select * from duckdb_secrets()", "duckdb_secrets"),
    ("select * from duckdb_settings()", "duckdb_settings"),
    ("select * from duckdb_databases()", "duckdb_databases"),
    ("select * from duckdb_databases", "duckdb_databases"),
    ("select * from pragma_database_list", "pragma_database_list"),
    ("select * from sqlite_master", "sqlite_master"),
    ("select * from duckdb_logs()", "duckdb_logs"),
    ("select * from enable_logging()", "enable_logging"),
    ("select * from checkpoint('lake')", "checkpoint"),
    ("select * from query('select 1')", "query"),
    ("select * from query_table(['findings'])", "query_table"),
    ("select * from histogram('{file}', x)", "histogram"),
    ("select * from json_execute_serialized_sql('{{}}')", "json_execute_serialized_sql"),
    ("select getenv('HOME')", "getenv"),
    ("select system.main.getenv('HOME')", "getenv"),
    ("select GetEnv('HOME')", "getenv"),
    ("select current_setting('temp_directory')", "current_setting"),
    ("select write_log('x')", "write_log"),
    ("select * from __ducklake_metadata_lake.ducklake_snapshot", "__ducklake_metadata_lake"),
    ("select * from __ducklake_metadata_lake.main.ducklake_snapshot", "__ducklake_metadata_lake"),
    ('select * from "__DUCKLAKE_METADATA_LAKE".ducklake_snapshot', "__ducklake_metadata_lake"),
    ("insert into __ducklake_metadata_lake.ducklake_snapshot select * from __ducklake_metadata_lake.ducklake_snapshot", "INSERT"),
    # The same, in places that a parser may overlook.
    ("select (select content from read_text('{file}'))", "read_text"),
    ("select 1 where exists (from read_text('{file}'))", "read_text"),
    ("with t as (select * from read_text('{file}')) select 1", "read_text"),
    ("select * from findings f, lateral (select * from read_text('{file}')) t", "read_text"),
    ("select 1 union all select 2 from read_text('{file}')", "read_text"),
    ("select list_transform([1], lambda x: getenv('HOME'))", "getenv"),
    ("select * replace (getenv('HOME') as kind) from findings", "getenv"),
    ("select 1 order by getenv('HOME')", "getenv"),
    ("select 1 limit (select length(getenv('HOME')))", "getenv"),
    ("select count(*) filter (where getenv('HOME') = '') from findings", "getenv"),
    ("select row_number() over (partition by getenv('HOME')) from findings", "getenv"),
    ("select * from findings qualify row_number() over (order by getenv('HOME')) = 1", "getenv"),
    ("select count(*) from findings group by getenv('HOME') having getenv('HOME') = ''", "getenv"),
    ("select columns(lambda c: getenv('HOME') = c) from findings", "getenv"),
    ("select * from (describe from read_text('{file}'))", "read_text"),
    ("values (getenv('HOME'))", "getenv"),
    ("select * from findings tablesample 10% where kind in (select content from read_text('{file}'))", "read_text"),
    ("pivot findings on kind using count(*)", "2 statements"),
]


@pytest.mark.parametrize("query", PERMITTED)
def test_one_select_or_explain_is_answered(locked: Warehouse, query: str) -> None:
    assert list(answer(locked.connection, query).rows())


@pytest.mark.parametrize(("query", "message"), REFUSED)
def test_any_other_statement_is_refused_by_name_and_writes_no_file(
    locked: Warehouse, tmp_path: Path, query: str, message: str
) -> None:
    paths = {name: tmp_path / f"{name}.csv" for name in ("out", "file", "other")}
    paths["file"].write_text("a\n1\n")
    folder = locked.lake.project.directory
    text = query.format(**paths, data=folder / "lake/data", catalog=folder / "lake/catalog.sqlite")
    with pytest.raises(QueryError, match=f"(?i){message}") as refused:
        answer(locked.connection, text)
    assert "\n" not in str(refused.value)
    assert not paths["out"].exists()


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to '{out}'",
        "attach '{out}' as other",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "set memory_limit = '64GB'",
        "reset memory_limit",
        "pragma memory_limit = '64GB'",
        "set threads = 64",
        "pragma threads = 64",
        "set max_temp_directory_size = '1TB'",
        "set temp_directory = '/tmp'",
        "reset enable_external_access",
        "select * from read_text('{file}')",
        "select * from '{file}'",
        "select * from glob('/*')",
        "insert into lake.events.usage select * from lake.events.usage",
        "create table lake.events.t as select 1",
        "insert into __ducklake_metadata_lake.ducklake_snapshot select * from __ducklake_metadata_lake.ducklake_snapshot",
        "call ducklake_merge_adjacent_files('lake')",
        "call ducklake_expire_snapshots('lake', older_than => now())",
    ],
)
def test_the_lock_of_the_connection_alone_refuses_it_too(locked: Warehouse, tmp_path: Path, statement: str) -> None:
    file = tmp_path / "file.csv"
    file.write_text("a\n1\n")
    with pytest.raises(duckdb.Error):
        locked.connection.execute(statement.format(out=tmp_path / "out", file=file)).fetchall()
    assert not (tmp_path / "out").exists()


def test_no_query_runs_without_bounds_of_memory_threads_and_temporary_files(locked: Warehouse) -> None:
    names = ("memory_limit", "max_temp_directory_size", "threads")
    values = [locked.connection.execute(f"select current_setting('{name}')").fetchall()[0][0] for name in names]
    assert values == ["2.0 GiB", "10.0 GiB", min(4, os.cpu_count() or 1)]


def test_a_query_cannot_read_a_variable_of_the_calling_program(locked: Warehouse) -> None:
    secret = duckdb.sql("select 42 as a")  # noqa: F841 - a replacement scan would read it.
    with pytest.raises(QueryError, match="does not exist"):
        answer_of(locked, "select * from secret")


def answer_of(warehouse: Warehouse, query: str) -> list[tuple[object, ...]]:
    """Run a query as the command does, with DuckDB errors translated."""
    from trueup.warehouse.query import CORRECT, _translate_errors

    with _translate_errors(CORRECT):
        return list(answer(warehouse.connection, query).rows())


def test_a_missing_table_is_reported_in_one_line(locked: Warehouse) -> None:
    with pytest.raises(QueryError, match="finding_s does not exist") as raised:
        answer_of(locked, "select * from finding_s")
    assert "\n" not in str(raised.value)


def test_a_query_nested_too_deeply_is_refused(locked: Warehouse) -> None:
    for query in ("not " * 5000 + "true", "abs(" * 900 + "1" + ")" * 900, "abs(" * 5000 + "1" + ")" * 5000):
        with pytest.raises(QueryError):
            answer_of(locked, f"select {query}")


def test_a_value_that_cannot_be_written_exactly_is_refused(locked: Warehouse) -> None:
    with pytest.raises(QueryError, match="UHUGEINT"):
        answer_of(locked, "select 340282366920938463463374607431768211455::uhugeint as x")
    with pytest.raises(QueryError, match="cannot be written"):
        answer_of(locked, "select 'infinity'::timestamp as x")
    assert answer_of(locked, "select 99999999999999999999999999999999.999999::decimal(38,6)") == [
        (Decimal("99999999999999999999999999999999.999999"),)
    ]


def test_the_data_folder_of_the_lake_may_hold_a_quote(tmp_path: Path) -> None:
    connection = duckdb.connect()
    guard.lock(connection, f"{tmp_path}/it's/", f"{tmp_path}/it's")
    with pytest.raises(duckdb.Error, match="locked"):
        connection.execute("set threads = 1")
