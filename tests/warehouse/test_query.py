"""Queries as of a position or time, answers as text, and queries during concurrent writes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.config import Project
from trueup.errors import LogBusyError, LogError, QueryError
from trueup.log.lake import Lake
from trueup.warehouse.asof import begin_of_day, end_of_day, moment_of, resolve
from trueup.warehouse.query import Warehouse, run, with_retries
from trueup.warehouse.text import as_json, as_text, unique_names

JAKARTA = ZoneInfo("Asia/Jakarta")


def test_a_day_means_its_end_in_the_projects_time_zone() -> None:
    assert moment_of("2024-03-03", JAKARTA) == datetime(2024, 3, 3, 16, 59, 59, 999_999, tzinfo=UTC)
    assert moment_of("2024-03-03T12:00:00", JAKARTA) == datetime(2024, 3, 3, 5, tzinfo=UTC)
    assert moment_of("2024-03-03T12:00:00Z", JAKARTA) == datetime(2024, 3, 3, 12, tzinfo=UTC)


def test_the_end_of_a_day_follows_daylight_saving() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert end_of_day(date(2024, 3, 30), berlin) == datetime(2024, 3, 30, 23, tzinfo=UTC)
    assert end_of_day(date(2024, 3, 31), berlin) == datetime(2024, 3, 31, 22, tzinfo=UTC)
    # In São Paulo the clock moved from 23:59:59 to 01:00 that night, so the day ended without a midnight.
    assert end_of_day(date(2018, 11, 3), ZoneInfo("America/Sao_Paulo")) == datetime(2018, 11, 4, 3, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "-1", "1.5", "2024-13-01", "", "2024-02-30"])
def test_an_invalid_position_time_or_day_is_refused(lake: Lake, text: str) -> None:
    with pytest.raises(QueryError, match="not a position, time or day"):
        resolve(lake, text)


@pytest.mark.parametrize("text", ["9999-12-31", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_beyond_the_calendar_is_refused(lake: Lake, text: str) -> None:
    with pytest.raises(QueryError, match="is not between the years 1 and 9999 in UTC"):
        resolve(lake, text)


def test_a_day_begins_at_midnight_of_the_zone_and_at_the_earliest_with_the_calendar() -> None:
    assert begin_of_day(date(2024, 3, 3), JAKARTA) == datetime(2024, 3, 2, 17, tzinfo=UTC)
    assert begin_of_day(date.min, JAKARTA) == datetime(1, 1, 1, tzinfo=UTC)


def test_a_position_the_log_does_not_have_is_refused(lake: Lake) -> None:
    with pytest.raises(QueryError, match="no position 99; the newest is 4"):
        resolve(lake, "99")


def test_a_decision_counts_as_of_the_position_before_the_next_and_as_of_its_time(
    ask: Callable[..., Any], lake: Lake, make: Any
) -> None:
    made = {"finding_id": make.event_id("f3"), "decision": "dismissed", "decided_at": datetime(2024, 3, 3, 6, tzinfo=UTC)}
    make.append(lake, "decision", [made])
    status = "SELECT status FROM findings WHERE kind = 'charge_without_usage' AND service = 'voice'"
    assert [ask(status, as_of)[0]["status"] for as_of in (None, "4", "3", "2024-03-03T05:59:00Z", "2024-03-03T06:00:00Z")] == [
        "dismissed", "dismissed", "open", "open", "dismissed",
    ]  # fmt: skip


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**31), max_value=10**31))
def test_json_writes_every_digit_of_a_decimal(value: Decimal) -> None:
    assert json.loads(as_json({"x": value}), parse_float=Decimal, parse_int=Decimal) == {"x": value}


def test_json_writes_every_type_of_value() -> None:
    value = {
        "n": None, "t": True, "i": 2**100, "f": 0.1, "nan": float("nan"), "d": date(2024, 3, 1), "b": b"\x00\xff", "s": 'a"\n',
        "at": datetime(2024, 3, 1, 12, tzinfo=UTC), "l": [1, [Decimal("1.50")]],
    }  # fmt: skip
    assert as_json(value) == (
        '{"n": null, "t": true, "i": 1267650600228229401496703205376, "f": 0.1, "nan": null, "d": "2024-03-01", "b": "00ff", '
        '"s": "a\\"\\n", "at": "2024-03-01T12:00:00+00:00", "l": [1, [1.50]]}'
    )


def test_a_cell_is_exact_and_a_missing_value_is_empty() -> None:
    values = (None, Decimal("1.500000"), b"\x0a", True, [1, None], timedelta(hours=1))
    assert [as_text(v) for v in values] == ["", "1.500000", "0a", "true", "[1, null]", "1:00:00"]


@given(st.lists(st.sampled_from(["a", "a_2", "b", "a_3"])))
def test_column_names_are_made_different_without_losing_one(names: list[str]) -> None:
    made = unique_names(names)
    assert len(made) == len(set(made)) == len(names)


def test_run_opens_the_lake_of_a_project(project: Project) -> None:
    query = "select kind, sum(impact) as loss, sum(impact) as loss from findings where status = 'open' group by kind order by kind"
    with run(project, query) as answer:
        assert answer.columns == ("kind", "loss", "loss")
        assert list(answer.rows()) == [
            ("charge_without_usage", Decimal("-75.000000"), Decimal("-75.000000")),
            ("underbilled", Decimal("25.000000"), Decimal("25.000000")),
        ]


def test_a_query_is_repeated_after_a_short_lock(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def question(warehouse: Warehouse) -> int:
        calls.append(1)
        if len(calls) < 2:
            raise duckdb.TransactionException("TransactionContext Error: Failed to execute query: database is locked")
        return 7

    assert with_retries(project, question) == 7
    assert len(calls) == 2


def test_a_query_without_a_lake_names_the_commands_that_make_one(tmp_path: Any) -> None:
    (tmp_path / "trueup.toml").write_text("", "utf-8")
    with (
        pytest.raises(LogError, match="run `trueup ingest` or `trueup run` first") as raised,
        run(Project.load(tmp_path), "select 1"),
    ):
        pass
    assert not isinstance(raised.value, LogBusyError)


def test_queries_are_answered_during_writes(project: Project, make: Any) -> None:
    stop = threading.Event()
    written = []

    def write() -> None:
        with Lake.open(project) as lake:
            while not stop.is_set():
                row = make.finding(f"w{len(written)}", 4, "raised", "frontier", "unbilled", expected=1)
                make.append(lake, "finding", [row], make.FINDING_SCHEMA)
                written.append(row)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = [count_of(project) for _ in range(2)]
    finally:
        stop.set()
        writer.join()
    assert counts == sorted(counts)
    assert counts[-1] <= 4 + len(written)
    assert len(written) > 3


def count_of(project: Project) -> int:
    with run(project, "select count(*) from findings") as answer:
        ((count,),) = answer.rows()
    return int(count)
