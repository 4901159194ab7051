"""The browser's own queries can read the rows of two tables and their pre-aggregates, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from small_project import clock

from trueup.config import Project, SqlConfig
from trueup.errors import QueryError
from trueup.warehouse.decide import decide
from trueup.workbench.reading import pre_aggregates
from trueup.workbench.reading.browser_queries import BrowserQueries
from trueup.workbench.reading.view_copy import ViewCopy

READS = (
    "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM '/etc/passwd'", "FROM read_csv('/etc/passwd')", "FROM read_blob('*')",
    "FROM glob('/**')", "FROM read_parquet('x')", "FROM read_json('x')", "FROM sniff_csv('/etc/passwd')", "FROM 'a.csv'", 'FROM "a.parquet"',
    "SELECT getenv('HOME')", "SELECT current_setting('home_directory')", "FROM duckdb_settings()", "FROM duckdb_secrets()",
    "FROM duckdb_databases()", "FROM pragma_database_list()", "FROM pragma_storage_info('findings')", "FROM copy.main.findings",
    "FROM copy.findings", "FROM memory.information_schema.x.y", "FROM sqlite_master", "FROM sqlite_scan('a', 'b')", "FROM postgres_scan('', '', '')",
    "FROM parquet_metadata('x')", "FROM parquet_file_metadata('x')", "SELECT * FROM query('SELECT 1')", "FROM query_table('findings')",
    "FROM 'http://evil.example/x.csv'", "FROM read_csv('http://evil.example/x.csv')", "FROM 's3://x/y.parquet'",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))", "WITH a AS (FROM read_text('/etc/passwd')) FROM a",
    "SELECT 1 UNION ALL FROM read_text('/etc/passwd')", "SELECT * FROM findings WHERE kind IN (FROM read_text('/etc/passwd'))",
    "EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')", "SELECT write_log('x')", "SELECT nextval('s')", "FROM duckdb_logs()",
)  # fmt: skip
WRITES = (
    "DROP VIEW findings", "DELETE FROM findings", "INSERT INTO findings SELECT 1", "UPDATE findings SET kind = 'x'", "CREATE TABLE x AS SELECT 1",
    "COPY (SELECT 1) TO '/tmp/x'", "COPY findings TO 'x.csv'", "EXPORT DATABASE '/tmp/x'", "IMPORT DATABASE '/tmp/x'", "ATTACH 'x.duckdb'",
    "ATTACH ':memory:' AS x", "DETACH copy", "USE copy", "SET memory_limit = '1TB'", "RESET lock_configuration", "PRAGMA database_list",
    "INSTALL httpfs", "LOAD httpfs", "CALL pragma_version()", "CHECKPOINT", "VACUUM", "BEGIN", "CREATE MACRO x() AS 1", "PREPARE x AS SELECT 1",
    "EXECUTE x", "CREATE SECRET (TYPE s3)", "SELECT 1; DROP VIEW findings", "ALTER TABLE findings RENAME TO x", "TRUNCATE findings",
)  # fmt: skip
AGGREGATES = (
    "CREATE TABLE IF NOT EXISTS main.preagg_1f AS FROM read_text('/etc/passwd')",
    "CREATE TABLE IF NOT EXISTS main.findings AS SELECT 1",
    "CREATE OR REPLACE TABLE main.preagg_1f AS SELECT 1",
    "CREATE TABLE IF NOT EXISTS copy.preagg_1f AS SELECT 1",
    "CREATE TABLE IF NOT EXISTS main.preagg_1f AS SELECT 1; DROP VIEW findings",
    "CREATE TABLE IF NOT EXISTS main.preagg_1f AS DELETE FROM findings RETURNING *",
    "CREATE TABLE IF NOT EXISTS main.preagg_1f AS EXPLAIN SELECT 1",
    "CREATE TABLE IF NOT EXISTS main.preagg_1f (x) AS SELECT getenv('HOME')",
    "CREATE SCHEMA other",
    "SELECT 1",
)


@pytest.fixture(scope="module")
def views(processed: Project) -> Iterator[ViewCopy]:
    copy = ViewCopy(processed, clock)
    yield copy
    copy.close()


@pytest.fixture(scope="module")
def queries(views: ViewCopy) -> Iterator[BrowserQueries]:
    browser = BrowserQueries(views, SqlConfig())
    yield browser
    browser.close()


def rows(queries: BrowserQueries, sql: str) -> list[dict[str, object]]:
    return pa.ipc.open_stream(queries.arrow("ann", sql)).read_all().to_pylist()


def test_charts_read_the_findings_and_pre_aggregates_of_them(queries: BrowserQueries) -> None:
    (unbilled,) = rows(queries, "SELECT kind, count(*) AS n FROM findings WHERE kind = 'unbilled' GROUP BY kind")
    assert unbilled == {"kind": "unbilled", "n": 6}
    queries.execute("ann", "CREATE SCHEMA IF NOT EXISTS main")
    queries.execute(
        "ann", 'CREATE TABLE IF NOT EXISTS "main"."preagg_0a" AS SELECT kind, count(*) AS n FROM findings GROUP BY kind'
    )
    assert rows(queries, 'SELECT sum(n) AS n FROM "main"."preagg_0a"') == rows(
        queries, "SELECT CAST(count(*) AS HUGEINT) AS n FROM findings"
    )


@pytest.mark.parametrize("sql", READS + WRITES)
def test_a_browser_reads_no_file_and_writes_nothing(queries: BrowserQueries, sql: str) -> None:
    for ask in (queries.arrow, queries.execute):
        with pytest.raises(QueryError):
            ask("ann", sql)


@pytest.mark.parametrize("sql", AGGREGATES)
def test_a_pre_aggregate_is_one_permitted_select_in_memory(queries: BrowserQueries, sql: str) -> None:
    with pytest.raises(QueryError):
        queries.execute("ann", sql)


def test_a_query_too_long_in_text_or_time_ends_with_a_message(queries: BrowserQueries) -> None:
    with pytest.raises(QueryError, match="characters"):
        queries.arrow("ann", f"SELECT '{'x' * 100_001}'")
    hurried = BrowserQueries(queries._copy, SqlConfig.model_validate({"timeout": "200ms"}))
    with pytest.raises(QueryError, match="longer than its time limit"):
        hurried.arrow("ann", "SELECT count(*) FROM range(10000000000) a, range(1000) b")
    hurried.close()


def test_an_answer_larger_than_a_browser_holds_ends_before_it_fills_the_memory(views: ViewCopy) -> None:
    patient = BrowserQueries(views, SqlConfig.model_validate({"timeout": "5s"}))
    with pytest.raises(QueryError, match="larger than a browser should hold"):
        patient.arrow("ann", "FROM range(100_000_000_000)")
    patient.close()


def test_a_pre_aggregate_of_one_user_never_answers_for_another(queries: BrowserQueries) -> None:
    create = 'CREATE TABLE IF NOT EXISTS "main"."preagg_0b" AS SELECT {} AS n'
    queries.execute("mallory", create.format(-1))
    queries.execute("ann", create.format("count(*)") + " FROM findings")
    assert rows(queries, 'SELECT n FROM "main"."preagg_0b"') == rows(queries, "SELECT count(*) AS n FROM findings")
    with pytest.raises(QueryError, match="preagg_0b"):
        queries.arrow("bob", 'SELECT n FROM "main"."preagg_0b"')


def test_unused_pre_aggregates_make_room_for_others(queries: BrowserQueries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pre_aggregates, "MOST_AGGREGATES", 2)
    for number in range(4):
        queries.execute("carl", f'CREATE TABLE IF NOT EXISTS "main"."preagg_{number}" AS SELECT {number} AS n')
    tables = rows(queries, "SELECT count(*) AS n FROM duckdb_tables() WHERE table_name LIKE 'aggregate_%'")
    assert tables[0]["n"] <= 4 and pa.ipc.open_stream(queries.arrow("carl", 'FROM "main"."preagg_3"')).read_all().to_pylist() == [
        {"n": 3}
    ]
    with pytest.raises(QueryError, match="preagg_0"):
        queries.arrow("carl", 'FROM "main"."preagg_0"')


def test_a_copy_is_kept_until_its_last_reader_has_finished(views: ViewCopy) -> None:
    with views.reading() as (before, connection):
        finding = connection.execute("SELECT finding_id FROM findings WHERE kind = 'underbilled'").fetchone()
        assert finding is not None and views.follow() == "nothing"
        decide(views._project, finding[0], "prevented", decided_by="ann", clock=clock)
        assert views.follow() == "decisions"
        after = views.refresh()
        assert after.snapshot > before.snapshot and views.follow() == "nothing"
        assert connection.execute("SELECT count(*) FROM findings").fetchone() and Path(before.path).exists()
    assert not Path(before.path).exists() and views.refresh() is after


def test_charts_drawn_before_a_new_copy_keep_their_pre_aggregates(views: ViewCopy) -> None:
    charts = BrowserQueries(views, SqlConfig())
    charts.execute(
        "ann", 'CREATE TABLE IF NOT EXISTS "main"."preagg_0c" AS SELECT status, count(*) AS n FROM findings GROUP BY status'
    )
    (finding,) = rows(charts, "SELECT finding_id FROM findings WHERE kind = 'unbilled' ORDER BY ALL LIMIT 1")
    decide(views._project, str(finding["finding_id"]), "prevented", decided_by="ann", clock=clock)
    before = views.current
    assert views.refresh() is not before
    drawn = rows(charts, 'SELECT status, sum(n)::BIGINT AS n FROM "main"."preagg_0c" GROUP BY status ORDER BY ALL')
    assert drawn == rows(charts, "SELECT status, count(*) AS n FROM findings GROUP BY status ORDER BY ALL")
    charts.close()
