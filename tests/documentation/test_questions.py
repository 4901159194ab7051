"""Analysts' questions: each query of the page runs in a plain DuckDB client on the published file, and its answer is right."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from snippets import ROOT, snippets

from trueup.warehouse.install_views import VIEWS

pytestmark = pytest.mark.slow
PAGE = "docs/how-to/questions.md"
QUERIES = [snippet.text for snippet in snippets("sql") if snippet.page == PAGE]
TITLES = re.findall(r"^## \d+\. (.*)$", (ROOT / PAGE).read_text("utf-8"), re.M)
OPEN = "status IN ('open', 'confirmed') AND NOT provisional"
BEFORE_ANY_COMMIT, AFTER_ALL = "2026-03-04 00:00:00+00", "2999-01-01 00:00:00+00"


@pytest.fixture
def published(operator: Path) -> Any:
    offline = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    with duckdb.connect(str(operator / "demo/leakage.duckdb"), read_only=True, config=offline) as connection:
        yield connection


def answer(connection: Any, beginning: str) -> list[dict[str, Any]]:
    """Return the rows of the only query below the title with this beginning."""
    text = (ROOT / PAGE).read_text("utf-8")
    section = next(part for part in text.split("\n## ") if re.match(rf"\d+\. {re.escape(beginning)}", part))
    query = re.search(r"```sql\n(.*?)```", section, re.S)
    assert query is not None
    return rows_of(connection, query[1])


def rows_of(connection: Any, query: str) -> list[dict[str, Any]]:
    found = connection.execute(query)
    columns = [column[0] for column in found.description]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]


def one(connection: Any, query: str) -> Any:
    return connection.execute(query).fetchone()[0]


def test_the_page_has_ten_questions() -> None:
    assert len(TITLES) == 10


def test_the_file_needs_no_extension_and_every_table_and_column_has_a_comment(published: Any) -> None:
    built_in = {"core_functions", "icu", "json", "parquet"}
    loaded = published.execute("SELECT extension_name FROM duckdb_extensions() WHERE loaded").fetchall()
    assert {name for (name,) in loaded} <= built_in
    tables = published.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall()
    assert {name for name, _ in tables} == {*VIEWS, "published"}
    assert [name for name, comment in tables if not comment] == []
    columns = "SELECT table_name || '.' || column_name FROM duckdb_columns() WHERE NOT internal AND coalesce(comment, '') = ''"
    assert published.execute(columns).fetchall() == []


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_every_query_runs(published: Any, query: str) -> None:
    published.execute(query).fetchall()


def test_the_rise_of_a_day_is_its_leakage_less_that_of_the_day_before(published: Any) -> None:
    weekday = one(published, "SELECT dayname(max(day)) FROM leakage_by_day WHERE leakage > 0")
    query = next(text for text in QUERIES if "'Tuesday'" in text)
    rows = rows_of(published, query.replace("'Tuesday'", f"'{weekday}'"))
    assert rows
    for row in rows:
        same = f"kind = '{row['kind']}' AND service = '{row['service']}' AND currency = '{row['currency']}'"
        total = "SELECT coalesce(sum(impact), 0) FROM findings WHERE impact > 0 AND {} AND {} AND day = DATE '{}' - {}"
        today, before = (one(published, total.format(OPEN, same, row["day"], days)) for days in (0, 1))
        assert row["rise"] == today - before


def test_nodes_and_subscribers_add_up_to_the_leakage(published: Any) -> None:
    leakage = one(published, "SELECT sum(leakage) FROM leakage_by_day")
    nodes = answer(published, "Which node")
    assert sum((row["leakage"] for row in nodes), Decimal(0)) == leakage
    for row in answer(published, "Which customers"):
        of_subscriber = f"SELECT sum(impact) FROM findings WHERE {OPEN} AND subscriber = '{row['subscriber']}' AND currency = '{row['currency']}'"
        assert row["net"] == one(published, of_subscriber) == row["to_bill"] - (row["to_credit"] or 0)


def test_mistakes_of_tariffs_are_those_of_misrated_findings(published: Any) -> None:
    rows = answer(published, "Which tariff")
    assert sum(row["charges"] for row in rows) == one(
        published, "SELECT count(*) FROM findings WHERE kind = 'misrated' AND status IN ('open', 'confirmed')"
    )


def test_the_state_at_the_end_equals_the_present_one_and_all_of_it_is_new_since_the_beginning(published: Any) -> None:
    query = next(text for text in QUERIES if "committed_at <" in text)
    assert rows_of(published, query) == []
    known = rows_of(published, query.replace(BEFORE_ANY_COMMIT, AFTER_ALL))
    standing = "SELECT count(*) FROM findings WHERE status NOT IN ('resolved', 'retracted')"
    assert sum(row["findings"] for row in known) == one(published, standing)
    changes = answer(published, "What has changed since")
    assert sum(row["changes"] for row in changes) == one(published, "SELECT count(*) FROM finding_history")
    assert all(row["meaning"] for row in changes if row["cause"])


def test_no_row_breaks_the_sum_of_the_money(published: Any) -> None:
    assert one(published, "SELECT count(*) FROM conservation") > 0
    assert answer(published, "Does the money add up") == []


def test_the_damaged_record_waits_in_quarantine_with_its_text(published: Any) -> None:
    (row,) = answer(published, "Which records are in quarantine")
    assert (row["records"], row["example"].startswith("X-1,not a time")) == (1, True)


def test_open_cases_of_the_newest_day_come_by_rank_with_a_reason(published: Any) -> None:
    rows = answer(published, "Which suspicious parties")
    assert rows and [row["rank_of_day"] for row in rows] == sorted(row["rank_of_day"] for row in rows)
    assert all(row["first_reason"] or row["rules"] for row in rows)
